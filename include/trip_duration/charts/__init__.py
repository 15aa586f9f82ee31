"""Charts of months of trips, and of a model's errors by zone."""
