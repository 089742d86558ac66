"""Loading models: from the Hub, folders and pipelines; the demo models."""
