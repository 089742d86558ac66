"""Loading models: the Hub, folders, pipelines, the demo models."""
