"""What is set for a run, as values that everybody may read."""
