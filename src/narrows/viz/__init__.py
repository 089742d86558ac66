"""Pictures of results, drawn from the saved form alone: results in, picture out, no model in between."""
