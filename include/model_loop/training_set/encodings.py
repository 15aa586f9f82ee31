"""Encodings and layouts: the forms in which models get their columns."""

from __future__ import annotations

from typing import Literal, get_args

Encoding = Literal["one_hot", "native"]
#: `one_hot` is one column for each category, exactly; `native` is what suits each model family.
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

Layout = Literal["sparse", "dense"]
"""The form of a matrix: one-hot columns (sparse) or a few numbers for each row (dense)."""
