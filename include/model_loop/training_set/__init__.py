"""The training set: clean trips, encoded and ready to learn from, with its provenance."""
