"""The training set: clean rows, encoded and ready to learn from, with its provenance."""
