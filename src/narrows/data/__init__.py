"""Texts and records: examples, data sets, files, and the schema of results."""
