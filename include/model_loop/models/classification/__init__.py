"""Classifiers: metrics with their intervals, calibrated probabilities, thresholds, class sets."""
