"""Heads: what a model predicts, and what of it can be explained."""
