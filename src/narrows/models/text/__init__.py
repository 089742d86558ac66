"""From strings to what a model reads."""
