"""Fine-tuning small classifiers, which is how the demo models were made."""
