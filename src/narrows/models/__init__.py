"""The only package that knows Hugging Face: blocks, cuts, heads and targets, texts, loading."""
