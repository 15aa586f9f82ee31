"""Erasure of an identity: where its rows are, which of them go, and what cannot be changed."""
