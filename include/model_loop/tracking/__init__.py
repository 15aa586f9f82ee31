"""Tracking: runs, trials, datasets and models on an MLflow server."""
