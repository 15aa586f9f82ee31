"""A table of deliveries that no part of the loop knows: a dataset and training sets of it."""
