"""One-hot encoding: a column for each pair of zones, and the numbers beside it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from model_loop.days import DAYS_PER_WEEK, HOURS_PER_DAY
from trip_duration.recipes import DEFAULT_RECIPE, TripRecipe, get_recipe
from trip_duration.services import DISTANCE
from trip_duration.training_set.encoders import columns as read
from trip_duration.training_set.encoders.sources import sources

#: Zone ids below this are looked up in a table; TLC's highest is 265.
_TABLE_SIZE = 512

_UNKNOWN = -1
#: Rows of a chunk: of smaller ones, threads wait for the interpreter more than they work.
_CHUNK_ROWS = 2**17


class OneHotTripEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Sparse design matrix, column by column what a ``DictVectorizer`` makes of the same trips.

    For the recipe `pair_distance` the matrix equals that of scikit-learn's ``DictVectorizer`` on
    dicts of ``PU_DO`` (such as ``"74_75"``) and ``trip_distance``, as the course project builds
    it, but it is assembled from integer codes and has int32 indices, which scikit-learn's
    coordinate descent requires.

    Other recipes append one-hot hours and weekdays, and their attributes as numbers.

    Parameters
    ----------
    recipe
        Name of the recipe: which raw columns are read.
    clip_distance
        Longest distance in miles; None leaves distances as they are.

    Attributes
    ----------
    pairs_ : ndarray of shape (pairs, 2), int32
        Pick-up and drop-off zone of each one-hot column, in the order of the columns: sorted as
        text, as ``DictVectorizer`` sorts its feature names.
    table_ : ndarray of shape (512, 512), int32
        Column of each pair of zones, -1 for a pair that was not seen.
    """

    def __init__(self, recipe: str = DEFAULT_RECIPE, clip_distance: float | None = None) -> None:
        self.recipe = recipe
        self.clip_distance = clip_distance

    def fit(self, X: pd.DataFrame, y: object = None) -> Self:  # noqa: ARG002 - scikit-learn's interface
        """Learn the pairs of zones of trips of shape (trips, raw columns)."""
        return self.fit_parts([X])

    def fit_parts(self, parts: Sequence[pd.DataFrame]) -> Self:
        """Learn from trips in several frames, without a copy that holds all of them."""
        return self.fit_pairs(*(self.pairs_of(trips) for trips in parts))

    def pairs_of(self, trips: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Return the pairs of zones that occur among trips, for `fit_pairs`."""
        trips = read.as_trained(trips, get_recipe(self.recipe).columns)
        seen = np.zeros(_TABLE_SIZE * _TABLE_SIZE, dtype=bool)

        def look(chunk: read.Trips) -> None:
            codes = _pair_codes(chunk)
            # Threads that wrote to the same few places would wait for each other.
            if not seen[codes].all():
                seen[codes] = True

        _with_help(look, _chunks(trips, read.ZONES))
        return seen

    def fit_pairs(self, *seen: npt.NDArray[np.bool_]) -> Self:
        """Learn the pairs that are in any of some trips."""
        self._learn(np.flatnonzero(np.logical_or.reduce(seen)))
        return self

    def transform(self, X: pd.DataFrame) -> csr_matrix:
        """Encode trips as a CSR matrix of shape (trips, columns), float64 with int32 indices.

        A pair that was not seen in `fit` has no one-hot entry.
        """
        return self.transform_parts([X])

    def transform_parts(
        self, parts: Sequence[pd.DataFrame], *, give_up: Sequence[pd.DataFrame] = ()
    ) -> csr_matrix:
        """Encode trips in several frames as one matrix, the rows of the first part first.

        Parameters
        ----------
        give_up
            Those of the parts that nobody looks at again: they lose each raw column when it is
            encoded, so that there is room for the matrix.
        """
        check_is_fitted(self)
        recipe = get_recipe(self.recipe)
        parts = [read.as_trained(trips, recipe.columns) for trips in parts]
        matrix = _Matrix(sum(map(len, parts)), entries=self._entries(recipe), width=self.width_)

        def number(rows: slice, trips: read.Trips) -> None:
            pair: npt.NDArray[np.int32] = self.table_.ravel().take(_pair_codes(trips))
            matrix.put_columns(rows, [pair, *self._further_columns(trips, recipe)])

        def value(rows: slice, trips: read.Trips) -> None:
            matrix.put_values(rows, [1.0, *self._further_values(trips, recipe)])

        valued = {*recipe.attributes, *([DISTANCE] if recipe.knows_distance else [])}
        for encode, names in ((number, set(recipe.columns) - valued), (value, valued)):
            chunks = [chunk for trips in parts for chunk in _chunks(trips, names)]
            _with_help(encode, _rows_of_chunks(parts), chunks)
            del chunks
            for trips in give_up:
                for name in names:
                    del trips[name]
        return matrix.finish()

    def recode(self, matrix: csr_matrix, other: OneHotTripEncoder) -> csr_matrix:
        """The matrix that this encoder would have made of trips that *other* has encoded.

        Only the numbers of the columns are new; the entries are the same memory.

        Parameters
        ----------
        matrix
            Trips encoded by *other*, all of them with pairs that both encoders have seen.
        other
            An encoder of the same recipe.
        """
        pairs = other.pairs_
        new: npt.NDArray[np.int32] = self.table_[pairs[:, 0], pairs[:, 1]]
        shift = np.int32(len(self.pairs_) - len(pairs))
        # Each row begins with its pair, and the columns behind all pairs move together.
        theirs = matrix.indices.reshape(-1, self._entries(get_recipe(self.recipe)))
        indices = np.empty_like(theirs)

        def look_up(first: int) -> None:
            rows = slice(first, first + _CHUNK_ROWS)
            np.add(theirs[rows], shift, out=indices[rows])
            indices[rows, 0] = new.take(theirs[rows, 0])

        _with_help(look_up, range(0, len(indices), _CHUNK_ROWS))
        return csr_matrix(
            (matrix.data, indices.ravel(), matrix.indptr),
            shape=(matrix.shape[0], self.width_),
            copy=False,
        )

    @property
    def width_(self) -> int:
        """Number of columns of the design matrix."""
        recipe = get_recipe(self.recipe)
        time = (HOURS_PER_DAY + DAYS_PER_WEEK) * recipe.knows_time
        return len(self.pairs_) + time + len(recipe.attributes) + recipe.knows_distance

    @staticmethod
    def sources(column: str) -> tuple[str, ...]:
        """Return the features that one of its columns is computed from."""
        return sources(column)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:  # noqa: ARG002 - scikit-learn's interface
        """Names of the columns, as ``DictVectorizer`` writes them: ``PU_DO=74_75``."""
        check_is_fitted(self)
        recipe = get_recipe(self.recipe)
        names = [f"PU_DO={pickup}_{dropoff}" for pickup, dropoff in self.pairs_.tolist()]
        if recipe.knows_time:
            names += [f"hour={hour}" for hour in range(HOURS_PER_DAY)]
            names += [f"weekday={day}" for day in range(DAYS_PER_WEEK)]
        names += recipe.attributes
        if recipe.knows_distance:
            names.append("trip_distance")
        return np.asarray(names, dtype=object)

    def require_sound(self) -> None:
        """Refuse a stored table whose columns are not those of the pairs.

        Raises
        ------
        ValueError
            If it is so: whatever multiplies the matrix would read foreign memory.
        """
        if not hasattr(self, "pairs_"):
            return
        table, count = self.table_, len(self.pairs_)
        whole = table.shape == (_TABLE_SIZE, _TABLE_SIZE) and table.dtype.kind == "i"
        if not (whole and table.min() >= _UNKNOWN and table.max() < count):
            message = "a table of zone pairs with columns out of range"
            raise ValueError(message)

    def _learn(self, codes: read.IntArray) -> None:
        pickup, dropoff = np.divmod(codes, _TABLE_SIZE)
        order = np.argsort(_text_ranks("_")[pickup] * _TABLE_SIZE + _text_ranks("")[dropoff])
        self.pairs_ = np.column_stack((pickup, dropoff))[order].astype(np.int32)
        self.table_ = np.full((_TABLE_SIZE, _TABLE_SIZE), _UNKNOWN, dtype=np.int32)
        self.table_[self.pairs_[:, 0], self.pairs_[:, 1]] = np.arange(len(codes), dtype=np.int32)

    def _entries(self, recipe: TripRecipe) -> int:
        """Entries of a row, of which the first may be missing."""
        return 1 + 2 * recipe.knows_time + len(recipe.attributes) + recipe.knows_distance

    def _further_columns(
        self, trips: read.Trips, recipe: TripRecipe
    ) -> list[npt.NDArray[np.int32] | int]:
        first = len(self.pairs_)
        columns: list[npt.NDArray[np.int32] | int] = []
        if recipe.knows_time:
            columns.append(first + read.hour_of_day(trips).astype(np.int32))
            first += HOURS_PER_DAY
            columns.append(first + read.weekday(trips).astype(np.int32))
            first += DAYS_PER_WEEK
        numbers = len(recipe.attributes) + recipe.knows_distance
        return [*columns, *range(first, first + numbers)]

    def _further_values(
        self, trips: read.Trips, recipe: TripRecipe
    ) -> list[read.FloatArray | float]:
        values: list[read.FloatArray | float] = [1.0] * (2 * recipe.knows_time)
        values += [read.attribute(trips, name) for name in recipe.attributes]
        if recipe.knows_distance:
            values.append(read.distance(trips, self.clip_distance))
        return values


@functools.cache
def _text_ranks(end: str) -> read.IntArray:
    """Return the rank of each zone id among all of them, sorted as text with this ending.

    ``10_`` comes before ``1_``, because digits come before the underscore.
    """
    texts = [f"{zone}{end}" for zone in range(_TABLE_SIZE)]
    return np.argsort(np.argsort(texts))


def _chunks(trips: pd.DataFrame, names: Iterable[str]) -> Iterator[read.Trips]:
    """Successive rows, so that what is computed on the way stays small."""
    # Arrays, as a frame of each chunk would take a tenth of the time of encoding.
    columns = {name: trips[name].array for name in names}
    for first in range(0, len(trips), _CHUNK_ROWS):
        yield {name: array[first : first + _CHUNK_ROWS] for name, array in columns.items()}


def _rows_of_chunks(parts: Sequence[pd.DataFrame]) -> Iterator[slice]:
    """Yield the rows of each chunk of some parts, as slices of all rows."""
    before = 0
    for trips in parts:
        for first in range(0, len(trips), _CHUNK_ROWS):
            yield slice(before + first, before + min(first + _CHUNK_ROWS, len(trips)))
        before += len(trips)


def _with_help(work: Callable[..., None], *arguments: Iterable[object]) -> None:
    """Do work on each chunk, with the help of a thread: NumPy lets go of the interpreter."""
    waiting: SimpleQueue[tuple[object, ...]] = SimpleQueue()
    for chunk in zip(*arguments, strict=True):
        waiting.put(chunk)

    def take_turns() -> None:
        with contextlib.suppress(Empty):
            while True:
                work(*waiting.get_nowait())

    with ThreadPoolExecutor(1) as helper:
        helped = helper.submit(take_turns) if waiting.qsize() > 1 else None
        take_turns()
    if helped is not None:
        helped.result()


def _pair_codes(trips: read.Trips) -> read.IntArray:
    """A number for each pair of zones; 0 (which TLC does not use) for what cannot be a zone."""
    pickup, dropoff = read.narrow_zones(trips)
    codes = (pickup * _TABLE_SIZE + dropoff).astype(np.int64, copy=False)
    # Read as unsigned numbers, values of 0 and less lie above every zone.
    if all(
        (side.view(f"u{side.itemsize}") - side.dtype.type(1)).max(initial=0) < _TABLE_SIZE - 1
        for side in (pickup, dropoff)
    ):
        return codes
    possible = (pickup > 0) & (pickup < _TABLE_SIZE) & (dropoff > 0) & (dropoff < _TABLE_SIZE)
    return np.where(possible, codes, 0)


class _Matrix:
    """A CSR matrix that is filled by chunks of rows: first all columns, then all values."""

    def __init__(self, rows: int, *, entries: int, width: int) -> None:
        # Memory that nothing was written to yet is not taken.
        self.indices = np.empty((rows, entries), dtype=np.int32)
        self.data = np.empty((rows, entries), dtype=np.float64)
        self.width = width
        self.unknown = False

    def put_columns(self, rows: slice, columns: list[npt.NDArray[np.int32] | int]) -> None:
        """Number of the column of each entry of some rows; chunks may be put side by side."""
        for position, column in enumerate(columns):
            self.indices[rows, position] = column
        if np.any(columns[0] == _UNKNOWN):
            self.unknown = True

    def put_values(self, rows: slice, values: list[read.FloatArray | float]) -> None:
        """Value of each entry of some rows."""
        for position, value in enumerate(values):
            self.data[rows, position] = value

    def finish(self) -> csr_matrix:
        """The matrix, without the entries of unknown pairs."""
        rows, entries = self.indices.shape
        data, indices = self.data.ravel(), self.indices.ravel()
        # There is room for it by now, if columns were freed.
        starts = np.arange(0, (rows + 1) * entries, entries, dtype=np.int32)
        if self.unknown:
            known = self.indices[:, 0] != _UNKNOWN
            np.cumsum(entries - 1 + known, out=starts[1:])
            stored = indices != _UNKNOWN
            data, indices = data[stored], indices[stored]
        return csr_matrix((data, indices, starts), shape=(rows, self.width))
