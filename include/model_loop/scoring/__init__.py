"""Predictions for people, requests and files: from what was given to minutes, version and id."""
