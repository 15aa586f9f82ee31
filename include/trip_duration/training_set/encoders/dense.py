"""Classes that stored models name."""

from model_loop.training_set.encoders.dense import DenseTripEncoder

__all__ = ["DenseTripEncoder"]
