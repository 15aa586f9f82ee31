"""Keys of partitions: ``2024-01``, ``2024-W05``, ``2024-01-31`` or ``whole``.

Tables are cut on the clocks of their place, which frames already show.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from model_loop.datasets.declaration import Part
from model_loop.errors import InvalidInputError

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


def key_pattern(part: Part) -> str:
    """Return the regular expression of the keys of a kind of partition."""
    return _PATTERNS[part]


def keys_of(times: npt.ArrayLike, part: Part) -> npt.NDArray[np.object_]:
    """Return the key of the partition of each time, shape (rows,).

    Parameters
    ----------
    times
        datetime64 on the clocks of the place, shape (rows,), none of them missing.
    """
    moments = np.asarray(times)
    if part == "whole":
        return np.full(len(moments), WHOLE, dtype=object)
    days, places = np.unique(moments.astype("datetime64[D]"), return_inverse=True)
    names = np.array([_key(day, part) for day in days.astype(object)], dtype=object)
    return names[places] if len(names) else np.empty(0, dtype=object)


def bounds_of(key: str, part: Part) -> tuple[dt.datetime, dt.datetime]:
    """Return the first moment of a partition, and the first after it, on the clocks of the place.

    Raises
    ------
    InvalidInputError
        If it is no key of such partitions.
    """
    try:
        first = _first_day(key, part)
    except ValueError as error:
        raise InvalidInputError(
            f"Partition {key!r}", f"is no {part}", f"Give it as {_EXAMPLES[part]}."
        ) from error
    if part == "month":
        after = (first.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    else:
        after = first + dt.timedelta(days=7 if part == "week" else 1)
    return _midnight(first), _midnight(after)


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
