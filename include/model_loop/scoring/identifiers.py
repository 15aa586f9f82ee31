"""The ids of predictions: UUIDs of version 7 (RFC 9562), which sort by the time they were made."""

from __future__ import annotations

import os
import secrets
import time

import numpy as np
import numpy.typing as npt

_BYTES = 16
_VERSION = 0x70
_VARIANT = 0x80
#: 4 of the 80 bits behind the time are the version, and 2 the variant.
_CHANCE_BYTES, _LOW_BITS = 10, 62
_LOW_MASK, _LOW_VARIANT = (1 << 62) - 1, 1 << 63
_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def new_id(at: float) -> str:
    """Return a new id as text of 32 hexadecimal digits.

    Parameters
    ----------
    at
        Seconds since 1970.
    """
    chance = int.from_bytes(os.urandom(_CHANCE_BYTES))
    high, low = chance >> _LOW_BITS & 0xFFF, chance & _LOW_MASK
    return f"{int(at * 1_000):012x}7{high:03x}{_LOW_VARIANT | low:016x}"


def new_ids(count: int) -> npt.NDArray[np.bytes_]:
    """Return `count` new ids as fixed-width text of 32 hexadecimal digits, shape (count,).

    All at once, because one at a time would take longer than predicting.
    """
    raw = np.frombuffer(secrets.token_bytes(_BYTES * count), dtype=np.uint8).copy()
    raw = raw.reshape(count, _BYTES)
    milliseconds = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    raw[:, :6] = np.frombuffer(milliseconds, dtype=np.uint8)
    raw[:, 6] = raw[:, 6] & 0x0F | _VERSION
    raw[:, 8] = raw[:, 8] & 0x3F | _VARIANT
    text = np.empty((count, 2 * _BYTES), dtype=np.uint8)
    text[:, ::2], text[:, 1::2] = _DIGITS[raw >> 4], _DIGITS[raw & 0x0F]
    return text.view(f"S{2 * _BYTES}").reshape(count)
