"""Classes that stored models name."""

from model_loop.models.boosting import BoosterRegressor

__all__ = ["BoosterRegressor"]
