"""Rows as frames, for an operator's own step: CSV files hold only texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.reading import shown
from model_loop.scoring.batch import texts
from model_loop.scoring.batch.job import Chunk
from model_loop.scoring.batch.rows import RawRows
from model_loop.tables.table import declared_format
from model_loop.tables.values import ColumnFormat, to_frame, to_values

AsFrame = Callable[[RawRows], tuple[pd.DataFrame, Mapping[int, str]]]
"""Returns rows as a frame, and why some of them cannot be read, by their places."""

#: Rows at the beginning of a file that say what its columns hold.
_SAMPLE_ROWS = 10_000
#: Share of the given cells that makes a column one of numbers, or of times.
_SHARE = 0.9
#: A code such as a postal code, of which a number would lose the beginning.
_CODE = re.compile(r"^\s*[+-]?0\d").pattern


def frames_of(chunk: Chunk) -> AsFrame:
    """Return what makes frames of the rows of a chunk.

    Columns of CSV are numbers (float64), times on the clocks of the table (datetime64) or text: as
    they are declared, or as the first rows of the file say, so that a step sees one type wherever
    the file is cut. A cell that is of another kind than its column rejects its row, and is missing
    to the step.
    """
    if chunk.job.rows.kind != "csv":
        return _as_they_are
    dataset = chunk.job.version.dataset
    sample = next(texts.read_chunk(texts.whole(chunk.job), None), RawRows({})).slice(
        0, _SAMPLE_ROWS
    )
    assert isinstance(sample.columns, Mapping)
    formats = {name: _format(dataset, name, column) for name, column in sample.columns.items()}

    def as_frame(raw: RawRows) -> tuple[pd.DataFrame, Mapping[int, str]]:
        assert isinstance(raw.columns, Mapping)
        frame, unreadable = to_frame(raw.columns, formats)
        broken = dict(raw.broken)
        for name, mask in unreadable.items():
            for row in np.flatnonzero(mask).tolist():
                cell = shown(raw.columns[name][row].as_py())
                rule = f"is not a {formats[name].kind}, unlike nearly all of its column"
                broken.setdefault(row, f"{name} = {cell} {rule}")
        return frame, broken

    return as_frame


def _as_they_are(raw: RawRows) -> tuple[pd.DataFrame, Mapping[int, str]]:
    if isinstance(raw.columns, Sequence):
        return pd.DataFrame(list(raw.columns)), raw.broken
    return pa.table(dict(raw.columns)).to_pandas(), raw.broken


def _format(dataset: Dataset, name: str, cells: pa.Array) -> ColumnFormat:
    """Return how a column is read."""
    if dataset.declaration is not None and name in dataset.columns.places:
        return declared_format(dataset.declaration, name)
    text, time_zone = ColumnFormat("text", missing=frozenset({""})), dataset.time_zone
    given = cells.filter(pc.not_equal(pc.utf8_trim_whitespace(cells), ""))
    if not len(given) or pc.any(pc.match_substring_regex(given, _CODE)).as_py():
        return text
    for each in (
        ColumnFormat("number", missing=text.missing),
        ColumnFormat("time", missing=text.missing, stored_in=time_zone, time_zone=time_zone),
    ):
        if to_values(given, each)[1].mean() <= 1 - _SHARE:
            return each
    return text
