"""From a fitted `ColumnTransformer` to tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.special import tandg
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)

from model_loop.datasets.columns import Columns
from model_loop.days import SECONDS_PER_DAY
from model_loop.serving.compiled.columns import ColumnTables, Vocabulary
from model_loop.serving.compiled.errors import NotCompiledError

#: A text that no vocabulary holds.
UNKNOWN = "\x00 unknown"
_IDENTITIES = (None, np.positive)


@dataclass(frozen=True)
class _Number:
    """A column of numbers: filled, less the shift, divided by the scale."""

    column: int
    fill: float = np.nan
    shift: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class _Flag:
    """A column that says whether a value is missing."""

    column: int
    given: float = 0.0
    missing: float = 1.0


@dataclass(frozen=True)
class _Phase:
    """A column of times within a period, or as many columns as there are bins."""

    column: int
    fill: float
    start: float
    period: float
    bins: int = 0


@dataclass(frozen=True)
class _Day:
    """A column that says whether a time is on one of some days."""

    column: int
    days: tuple[int, ...]


@dataclass
class _Parts:
    """Parts of the design matrix that were found, each with its column there."""

    numbers: list[tuple[int, _Number]] = field(default_factory=list)
    flags: list[tuple[int, _Flag]] = field(default_factory=list)
    phases: list[tuple[int, _Phase]] = field(default_factory=list)
    days: list[tuple[int, _Day]] = field(default_factory=list)
    #: Columns and values that each category sets, by the place of its column.
    categories: dict[int, list[dict[int, float]]] = field(default_factory=dict)


def tables_of(encoder: Any, columns: Columns) -> tuple[ColumnTables, Vocabulary] | None:  # noqa: ANN401 - any step of a pipeline
    """Return the tables of a fitted encoder; None if it is no `ColumnTransformer`.

    Raises
    ------
    NotCompiledError
        If a part of it has no tables.
    """
    if not isinstance(encoder, ColumnTransformer):
        return None
    parts, vocabulary = _Parts(), _vocabulary(encoder, columns)
    for place, texts in vocabulary.items():
        parts.categories[place] = [{} for _ in range(len(texts) + 2)]
    width = 0
    for name, part, names in encoder.transformers_:
        where = encoder.output_indices_[name]
        width = max(width, where.stop)
        if where.start == where.stop or part == "drop":
            continue
        places = [columns.places[one] for one in names]
        if all(columns[place].text for place in places):
            _add_categories(parts, part, list(names), places, where.start, vocabulary)
        else:
            _add_numbers(parts, part, places, where)
    return _joined(parts, vocabulary, width, is_sparse=bool(encoder.sparse_output_)), vocabulary


def _vocabulary(encoder: ColumnTransformer, columns: Columns) -> Vocabulary:
    """Return every text that a part of an encoder knows, by the places of their columns."""
    found: dict[int, dict[str, None]] = {}
    for _, part, names in encoder.transformers_:
        places = [columns.places[one] for one in names if columns[columns.places[one]].text]
        if part == "drop" or not places:
            continue
        steps = [step for _, step in part.steps] if isinstance(part, Pipeline) else [part]
        knowing = [
            step
            for step in steps
            if isinstance(step, OneHotEncoder | OrdinalEncoder | TargetEncoder)
        ]
        if len(knowing) != 1:
            raise NotCompiledError(f"categories by {type(part).__name__} have no compiled form")
        for place, texts in zip(places, knowing[0].categories_, strict=True):
            known = dict.fromkeys(text for text in texts.tolist() if isinstance(text, str))
            found.setdefault(place, {}).update(known)
    return {place: tuple(texts) for place, texts in found.items()}


def _add_categories(
    parts: _Parts,
    part: Any,  # noqa: ANN401 - a transformer
    names: list[str],
    places: list[int],
    first: int,
    vocabulary: Vocabulary,
) -> None:
    """Ask a transformer what it makes of each category, one column after another."""
    base = {
        name: (vocabulary[place] or (UNKNOWN,))[0]
        for name, place in zip(names, places, strict=True)
    }
    owners: dict[int, int] = {}
    usual = _transformed(part, pd.DataFrame([base], dtype=object)).toarray()[0]
    for which, (name, place) in enumerate(zip(names, places, strict=True)):
        probes = pd.DataFrame([base] * (len(vocabulary[place]) + 2), dtype=object)
        probes[name] = np.array([*vocabulary[place], UNKNOWN, np.nan], dtype=object)
        made = _transformed(part, probes).tocsc()
        lowest, highest = (np.ravel(one.toarray()) for one in (made.min(axis=0), made.max(axis=0)))
        own = np.flatnonzero(lowest != highest)
        if which == len(names) - 1:
            # Every category of one column sets the values that never change.
            rest = [one for one in range(made.shape[1]) if one not in owners and usual[one]]
            own = np.union1d(own, [one for one in rest if lowest[one] == highest[one]])
        for target in own.astype(int).tolist():
            if owners.setdefault(target, place) != place:
                raise NotCompiledError("a column that depends on several has no compiled form")
        rows = made[:, own.astype(int)].tocoo()
        for code, target, value in zip(
            rows.row.tolist(), own[rows.col].astype(int).tolist(), rows.data.tolist(), strict=True
        ):
            if value:
                parts.categories[place][code][first + target] = float(value)


def _transformed(part: Any, frame: pd.DataFrame) -> Any:  # noqa: ANN401 - scikit-learn and scipy have no types
    try:
        return sparse.csr_array(part.transform(frame))
    except ValueError as error:
        raise NotCompiledError(f"its encoder refuses unknown categories ({error})") from error


def _add_numbers(parts: _Parts, part: Any, places: Sequence[int], where: slice) -> None:  # noqa: ANN401 - a transformer
    """Describe what becomes of numbers, yes and no, and times."""
    made: list[Any] = [_Number(place) for place in places]
    for step in _steps(part):
        made = _after(step, made)
    target = where.start
    for one in made:
        if isinstance(one, _Phase):
            parts.phases.append((target, one))
        elif isinstance(one, _Day):
            parts.days.append((target, one))
        elif isinstance(one, _Flag):
            parts.flags.append((target, one))
        else:
            parts.numbers.append((target, one))
        target += one.bins if isinstance(one, _Phase) and one.bins else 1
    if target != where.stop:
        raise NotCompiledError(f"{type(part).__name__} makes other columns than are known")


def _steps(part: Any) -> Iterable[Any]:  # noqa: ANN401 - a transformer
    if isinstance(part, Pipeline):
        return [step for _, one in part.steps for step in _steps(one)]
    return [] if part == "passthrough" else [part]


def _after(step: Any, made: list[Any]) -> list[Any]:  # noqa: ANN401 - a transformer
    """Describe columns after a step."""
    if isinstance(step, FunctionTransformer) and step.func in _IDENTITIES:
        return made
    plain = all(isinstance(one, _Number | _Flag) for one in made)
    if isinstance(step, SimpleImputer) and all(one == _Number(one.column) for one in made):
        return _imputed(step, made)
    if isinstance(step, StandardScaler) and plain:
        return [_scaled(one, step, place) for place, one in enumerate(made)]
    if isinstance(step, FeatureUnion) and all(isinstance(one, _Number) for one in made):
        return [
            phase for _, union_part in step.transformer_list for phase in _phases(union_part, made)
        ]
    if isinstance(step, FrozenEstimator) and all(one == _Number(one.column) for one in made):
        return _days(step.estimator, made)
    raise NotCompiledError(f"{type(step).__name__} has no compiled form")


def _imputed(step: SimpleImputer, made: list[_Number]) -> list[_Number | _Flag]:
    fills = np.asarray(step.statistics_, dtype=np.float64)
    kept: list[_Number | _Flag] = [
        replace(one, fill=0.0 if np.isnan(fill) else fill)
        for one, fill in zip(made, fills.tolist(), strict=True)
        if step.keep_empty_features or not np.isnan(fill)
    ]
    if step.add_indicator:
        kept += [_Flag(made[place].column) for place in step.indicator_.features_.tolist()]
    return kept


def _scaled(one: _Number | _Flag, step: StandardScaler, place: int) -> _Number | _Flag:
    shift = 0.0 if step.mean_ is None or not step.with_mean else float(step.mean_[place])
    scale = 1.0 if step.scale_ is None else float(step.scale_[place])
    if isinstance(one, _Flag):
        return replace(
            one, given=(one.given - shift) / scale, missing=(one.missing - shift) / scale
        )
    if (one.shift, one.scale) != (0.0, 1.0):
        raise NotCompiledError("numbers that are scaled twice have no compiled form")
    return replace(one, shift=shift, scale=scale)


def _phases(part: Any, made: list[_Number]) -> list[_Phase]:  # noqa: ANN401 - a transformer
    """Describe times within a period; see `training_set.encoders.tables`."""
    inner = part.estimator if isinstance(part, FrozenEstimator) else part
    scaler, *others = _steps(inner)
    functions = [one.func for one in others if isinstance(one, FunctionTransformer)]
    cuts = [one for one in others if isinstance(one, KBinsDiscretizer)]
    known = (
        isinstance(scaler, MinMaxScaler)
        and tuple(scaler.feature_range) == (-90.0, 90.0)
        and functions == [tandg, np.arctan]
        and len(cuts) == len(others) - len(functions) <= 1
    )
    if not known:
        raise NotCompiledError(f"times by {type(inner).__name__} have no compiled form")
    bins = 0
    if cuts:
        (cut,) = cuts
        if cut.strategy != "uniform" or not cut.encode.startswith("onehot"):
            raise NotCompiledError("times in other bins than equal ones have no compiled form")
        bins = int(np.unique(cut.n_bins_)[0])
    return [
        _Phase(
            one.column,
            0.0 if np.isnan(one.fill) else one.fill,
            float(scaler.data_min_[place]),
            float(scaler.data_range_[place]),
            bins,
        )
        for place, one in enumerate(made)
    ]


def _days(part: Any, made: list[_Number]) -> list[_Day]:  # noqa: ANN401 - a transformer
    """Describe times on a holiday or none; see `training_set.encoders.tables`."""
    steps = [*_steps(part)]
    kinds = [MaxAbsScaler, FunctionTransformer, OrdinalEncoder, Binarizer]
    if [type(step) for step in steps] != kinds:
        raise NotCompiledError(f"times by {type(part).__name__} have no compiled form")
    scaler, whole, ordinal, above = steps
    known = (
        (scaler.scale_ == SECONDS_PER_DAY).all()
        and whole.func is np.floor
        and (ordinal.handle_unknown, ordinal.unknown_value) == ("use_encoded_value", -1)
        and -1 <= above.threshold < 0
    )
    if not known:
        raise NotCompiledError("days by other numbers have no compiled form")
    return [
        _Day(one.column, tuple(map(int, days)))
        for one, days in zip(made, ordinal.categories_, strict=True)
    ]


def _holidays(parts: _Parts) -> tuple[int, npt.NDArray[np.bool_]]:
    """Return the first holiday, and whether it and each day up to the last are holidays."""
    known = {day.days for _, day in parts.days}
    if len(known) > 1:
        raise NotCompiledError("holidays of several countries have no compiled form")
    days = np.array([*known], dtype=np.int64).ravel()
    first, beyond = (int(days.min()), int(days.max()) + 1) if len(days) else (0, 0)
    table = np.zeros(beyond - first, dtype=np.bool_)
    table[days - first] = True
    return first, table


def _joined(parts: _Parts, vocabulary: Vocabulary, width: int, *, is_sparse: bool) -> ColumnTables:
    """Return what was found as arrays."""
    spans, targets, values, firsts = [0], list[int](), list[float](), list[int]()
    for place in vocabulary:
        firsts.append(len(spans) - 1)
        for entries in parts.categories[place]:
            targets += entries
            values += entries.values()
            spans.append(len(targets))
        # The next column begins with an entry of its own.
    numbers, flags, phases = parts.numbers, parts.flags, parts.phases
    first_day, holidays = _holidays(parts)
    return ColumnTables(
        number_columns=_ints(one.column for _, one in numbers),
        number_targets=_ints(target for target, _ in numbers),
        number_fills=_floats(one.fill for _, one in numbers),
        number_shifts=_floats(one.shift for _, one in numbers),
        number_scales=_floats(one.scale for _, one in numbers),
        flag_columns=_ints(one.column for _, one in flags),
        flag_targets=_ints(target for target, _ in flags),
        flag_given=_floats(one.given for _, one in flags),
        flag_missing=_floats(one.missing for _, one in flags),
        phase_columns=_ints(one.column for _, one in phases),
        phase_targets=_ints(target for target, _ in phases),
        phase_fills=_floats(one.fill for _, one in phases),
        phase_starts=_floats(one.start for _, one in phases),
        phase_periods=_floats(one.period for _, one in phases),
        phase_bins=_ints(one.bins for _, one in phases),
        category_columns=_ints(vocabulary),
        category_sizes=_ints(len(texts) for texts in vocabulary.values()),
        category_firsts=np.array(firsts, dtype=np.int64),
        spans=np.array(spans, dtype=np.int64),
        targets=_ints(targets),
        values=_floats(values),
        width=int(width),
        is_sparse=is_sparse,
        day_columns=_ints(one.column for _, one in parts.days),
        day_targets=_ints(target for target, _ in parts.days),
        first_day=first_day,
        holidays=holidays,
    )


def _ints(values: Iterable[int]) -> npt.NDArray[np.int32]:
    return np.array([*values], dtype=np.int32)


def _floats(values: Iterable[float]) -> npt.NDArray[np.float64]:
    return np.array([*values], dtype=np.float64)
