"""Arrays as npy."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from model_loop.errors import StoredObjectError
from model_loop.objects.limits import require_array


def encode(array: npt.NDArray[Any]) -> bytes:
    """Return the bytes of an npy file."""
    if array.dtype.hasobject:
        raise StoredObjectError(
            "An array of Python objects",
            "cannot be stored without pickle",
            "Give it a dtype of numbers, times or fixed-width text.",
        )
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def decode(data: bytes) -> npt.NDArray[Any]:
    """Read an npy file."""
    require_array(data, len(data), "A stored array")
    array: npt.NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array
