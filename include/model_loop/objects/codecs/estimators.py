"""Estimators of scikit-learn in the format of skops."""

from __future__ import annotations

from model_loop.objects.trust import dump_estimator as encode
from model_loop.objects.trust import load_estimator as decode

__all__ = ["decode", "encode"]
