"""Encoders: scikit-learn transformers from raw trip columns to a design matrix."""

from trip_duration.training_set.encoders.dense import DenseTripEncoder
from trip_duration.training_set.encoders.one_hot import OneHotTripEncoder

__all__ = ["DenseTripEncoder", "OneHotTripEncoder"]
