"""Keys of partitions: ``2024-01``, ``2024-W05``, ``2024-01-31`` or ``whole``.

Tables are cut on the clocks of their place, which frames already show. Keys of a kind are in the
order of time when they are sorted as text.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration_types import Part, seconds_of
from model_loop.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: Key of a table that comes as one.
WHOLE = "whole"

_PATTERNS: Mapping[Part, str] = MappingProxyType(
    {
        "month": r"[0-9]{4}-(?:0[1-9]|1[0-2])",
        "week": r"[0-9]{4}-W(?:0[1-9]|[1-4][0-9]|5[0-3])",
        "day": r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])",
        "whole": r".+",
    }
)
_EXAMPLES: Mapping[Part, str] = MappingProxyType(
    {"month": "2024-01", "week": "2024-W05", "day": "2024-01-31", "whole": WHOLE}
)


def key_pattern(kind: Part) -> str:
    """Return the regular expression of the keys of a kind of partition."""
    return _PATTERNS[kind]


def keys_of(times: npt.ArrayLike, kind: Part) -> npt.NDArray[np.object_]:
    """Return the key of the partition of each time, shape (rows,).

    Parameters
    ----------
    times
        datetime64 on the clocks of the place, shape (rows,), none of them missing.
    """
    import numpy as np  # noqa: PLC0415 - DAG files read keys, and need no arrays

    moments = np.asarray(times)
    if kind == "whole":
        return np.full(len(moments), WHOLE, dtype=object)
    days, places = np.unique(moments.astype("datetime64[D]"), return_inverse=True)
    names = np.array([_key(day, kind) for day in days.astype(object)], dtype=object)
    return names[places] if len(names) else np.empty(0, dtype=object)


def bounds_of(key: str, kind: Part) -> tuple[dt.datetime, dt.datetime]:
    """Return the first moment of a partition, and the first after it, on the clocks of the place.

    Raises
    ------
    InvalidInputError
        If it is no key of such partitions.
    """
    try:
        first = _first_day(key, kind)
        if kind == "month":
            after = (first.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
        else:
            after = first + dt.timedelta(days=7 if kind == "week" else 1)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"Partition {key!r}", f"is no {kind}", f"Give it as {_EXAMPLES[kind]}."
        ) from error
    return _midnight(first), _midnight(after)


def check_key(key: str, kind: Part) -> str:
    """Return the key of a partition without blanks around it.

    Raises
    ------
    InvalidInputError
        If it is no key of such partitions.
    """
    given = key.strip()
    if given != WHOLE or kind != "whole":
        bounds_of(given, kind)
    return given


def comes_as_one(dataset: Dataset) -> bool:
    """Return whether the declared source is one table, and not one for each partition."""
    declared = dataset.declaration
    return declared is not None and not declared.comes_in_partitions


def check_partition(key: str, dataset: Dataset) -> str:
    """Return the key of a partition of a dataset, or of its whole table where that comes as one.

    Raises
    ------
    InvalidInputError
        If it is neither.
    """
    if key == WHOLE and comes_as_one(dataset):
        return key
    return check_key(key, dataset.partition)


def parse_keys(given: str | Iterable[str] | None, kind: Part) -> tuple[str, ...]:
    """Read keys from ``"2024-01,2024-02"``, ``"2023-11..2024-02"`` or a sequence of such texts.

    Nothing, as of an empty field of a form, is no key.

    Returns
    -------
    tuple of str
        In the order of time and without repetitions.

    Raises
    ------
    InvalidInputError
        If one of them is no key of such partitions, or a range runs backwards.
    """
    texts = given.split(",") if isinstance(given, str) else [*(given or ())]
    return tuple(sorted({key for text in texts if text.strip() for key in _range(text, kind)}))


def next_key(key: str, kind: Part) -> str:
    """Return the key of the partition that follows.

    Raises
    ------
    InvalidInputError
        If it is no key of such partitions; a whole table has none that follows.
    """
    return _key(bounds_of(key, kind)[1], kind)


def previous_key(key: str, kind: Part) -> str:
    """Return the key of the partition before; see `next_key`."""
    return _key(bounds_of(key, kind)[0] - dt.timedelta(days=1), kind)


def key_at(moment: dt.datetime, dataset: Dataset) -> str:
    """Return the key of the partition in which a moment with a time zone lies."""
    if dataset.partition == "whole":
        return WHOLE
    return _key(moment.astimezone(ZoneInfo(dataset.time_zone)), dataset.partition)


def span_of(key: str, dataset: Dataset) -> tuple[dt.datetime, dt.datetime]:
    """Return the first moment of a partition, and the first after it, in UTC.

    Raises
    ------
    InvalidInputError
        If it is no key of the dataset's partitions.
    """
    first, after = bounds_of(key, dataset.partition)
    clocks = ZoneInfo(dataset.time_zone)
    return tuple(each.replace(tzinfo=clocks).astimezone(dt.UTC) for each in (first, after))  # type: ignore[return-value]  # two, of two


def labels_delay(dataset: Dataset) -> dt.timedelta | None:
    """Return how long after a row its true value arrives; None where nothing is declared."""
    declared = dataset.declaration
    if declared is None or declared.labels_after is None:
        return None
    return dt.timedelta(seconds=seconds_of(declared.labels_after))


def is_complete(key: str, dataset: Dataset, now: dt.datetime) -> bool:
    """Return whether a partition has ended, and the true values of its rows have arrived.

    Parameters
    ----------
    now
        A moment with a time zone.
    """
    if key == WHOLE:
        return True
    return span_of(key, dataset)[1] + (labels_delay(dataset) or dt.timedelta(0)) <= now


def _range(text: str, part: Part) -> list[str]:
    first, separator, last = (each.strip() for each in text.partition(".."))
    keys = [check_key(first, part)]
    if not separator:
        return keys
    if check_key(last, part) < first:
        raise InvalidInputError(
            f"Range {text.strip()!r}", "runs backwards", f"Put the earlier {part} first."
        )
    while keys[-1] < last:
        keys.append(next_key(keys[-1], part))
    return keys


def _first_day(key: str, part: Part) -> dt.date:
    if part == "whole" or not re.fullmatch(_PATTERNS[part], key):
        raise ValueError(key)
    if part == "month":
        return dt.date.fromisoformat(f"{key}-01")
    if part == "week":
        year, week = key.split("-W")
        return dt.date.fromisocalendar(int(year), int(week), 1)
    return dt.date.fromisoformat(key)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day)  # noqa: DTZ001 - on the clocks of the place


def _key(day: Any, part: Part) -> str:  # noqa: ANN401 - NumPy's day as Python's
    if part == "month":
        return f"{day.year:04d}-{day.month:02d}"
    if part == "week":
        year, week, _ = day.isocalendar()
        return f"{year:04d}-W{week:02d}"
    return f"{day.year:04d}-{day.month:02d}-{day.day:02d}"
