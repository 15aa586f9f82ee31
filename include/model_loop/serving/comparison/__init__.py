"""Versions compared by their errors in the request log."""
