"""Arrays as npy."""

from __future__ import annotations

import io
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from model_loop.errors import StoredObjectError
from model_loop.objects.limits import require_array


def encode(array: npt.NDArray[Any]) -> bytes:
    """Return the bytes of an npy file."""
    buffer = io.BytesIO()
    write(array, buffer)
    return buffer.getvalue()


def write(array: npt.NDArray[Any], file: IO[bytes]) -> None:
    """Write an npy file, a few megabytes at a time.

    Raises
    ------
    StoredObjectError
        If it holds objects of Python.
    """
    if array.dtype.hasobject:
        raise StoredObjectError(
            "An array of Python objects",
            "cannot be stored without pickle",
            "Give it a dtype of numbers, times or fixed-width text.",
        )
    np.lib.format.write_array(file, array, allow_pickle=False)


def size_of(array: npt.NDArray[Any]) -> int:
    """Return the bytes of its npy file."""
    header = io.BytesIO()
    write(array[:0] if array.ndim else array, header)
    # The header says the number of rows, and is padded to the same length whatever it is.
    return len(header.getvalue()) + (array.nbytes if array.ndim else 0)


def mapped(file: IO[bytes], offset: int) -> npt.NDArray[Any]:
    """Return the array of an npy file that begins within a local file, without reading it.

    Raises
    ------
    StoredObjectError
        If it holds objects of Python.
    """
    file.seek(offset)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    shape, is_fortran, dtype = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(
        file
    )
    if dtype.hasobject:
        raise StoredObjectError(
            "A stored array", "holds objects of Python, and is not loaded", "Store it anew."
        )
    order: Any = "F" if is_fortran else "C"
    return np.asarray(np.memmap(file, dtype, "r", file.tell(), shape, order))


def decode(data: bytes) -> npt.NDArray[Any]:
    """Read an npy file."""
    require_array(data, len(data), "A stored array")
    array: npt.NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array
