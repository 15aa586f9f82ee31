"""The error of models that have no compiled form."""

from __future__ import annotations


class NotCompiledError(Exception):
    """A model has no compiled form, or none that agrees with it."""
