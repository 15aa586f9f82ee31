"""Boosters of XGBoost as UBJSON."""

from __future__ import annotations

import xgboost

from model_loop.objects.trees import require_sound_booster


def encode(booster: xgboost.Booster) -> bytes:
    """Return the bytes of a UBJSON file."""
    return bytes(booster.save_raw("ubj"))


def decode(data: bytes) -> xgboost.Booster:
    """Read a UBJSON file."""
    require_sound_booster(data)
    booster = xgboost.Booster()
    booster.load_model(bytearray(data))
    return booster
