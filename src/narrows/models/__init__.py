"""The one place that knows Hugging Face: blocks of any architecture, prefix and suffix, encoding, loading, targets."""
