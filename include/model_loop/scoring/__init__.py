"""Predictions for people, requests and files: from what was given to prediction, version and id."""
