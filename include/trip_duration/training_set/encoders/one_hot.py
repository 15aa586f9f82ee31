"""Classes that stored models name."""

from model_loop.training_set.encoders.one_hot import OneHotTripEncoder

__all__ = ["OneHotTripEncoder"]
