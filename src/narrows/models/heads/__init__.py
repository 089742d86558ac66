"""Heads: what a model predicts, and what can be explained of it."""
