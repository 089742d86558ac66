"""Narrows: what each token had to transmit, in bits."""

__version__ = "0.1.0.dev0"
