"""From strings to the inputs of a model."""
