"""Compiled forms of the encoders of trips: tables by zone, pair and hour.

`FORMS` is what servers look up; see `model_loop.serving.compiled.encoders`.
"""

from trip_duration.compiled.forms import FORMS

__all__ = ["FORMS"]
