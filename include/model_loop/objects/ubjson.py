"""UBJSON as XGBoost writes it, read with every length checked."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from model_loop.errors import StoredObjectError

#: Numbers by their mark, all with the most significant byte first.
_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_CONSTANTS = {"T": True, "F": False, "Z": None}
#: Objects within objects; XGBoost writes seven.
_DEPTH = 16


def read_ubjson(data: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return the value that UBJSON holds; arrays of one type are NumPy's.

    Only what XGBoost itself writes is read, so that no other reader can take it for anything else:
    lengths of eight bytes, no name twice, nothing behind the end.

    Raises
    ------
    StoredObjectError
        If it is anything else.
    """
    reader = _Reader(data)
    value = reader.value(reader.mark(), 0)
    if reader.place != len(data):
        reader.refuse()
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def refuse(self) -> NoReturn:
        raise StoredObjectError(
            "A stored booster",
            f"cannot be read: byte {self.place} is not as XGBoost writes it",
            "Store it by Booster.save_raw('ubj') or save_model.",
        )

    def mark(self) -> str:
        return self._take(1).decode("latin-1")

    def value(self, mark: str, depth: int) -> Any:  # noqa: ANN401 - any JSON
        if depth > _DEPTH:
            self.refuse()
        if mark in _NUMBERS:
            return self._array(mark, 1)[0].item()
        if mark == "S":
            return self._text()
        if mark == "{":
            return self._object(depth)
        if mark == "[":
            return self._list(depth)
        if mark not in _CONSTANTS:
            self.refuse()
        return _CONSTANTS[mark]

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (mark := self.mark()) != "}":
            if mark != "L":
                self.refuse()
            self.place -= 1
            name = self._text()
            if name in found:
                self.refuse()
            found[name] = self.value(self.mark(), depth + 1)
        return found

    def _list(self, depth: int) -> Any:  # noqa: ANN401 - a list or an array
        mark = self.mark()
        kind = self.mark() if mark == "$" else None
        if kind is not None:
            mark = self.mark()
        if mark != "#":
            self.refuse()
        count = self._length()
        if kind is None:
            return [self.value(self.mark(), depth + 1) for _ in range(count)]
        if kind not in _NUMBERS:
            self.refuse()
        return self._array(kind, count)

    def _array(self, kind: str, count: int) -> Any:  # noqa: ANN401 - NumPy's
        dtype = np.dtype(_NUMBERS[kind])
        return np.frombuffer(self._take(dtype.itemsize * count), dtype)

    def _text(self) -> str:
        return self._take(self._length()).decode("utf-8", errors="strict")

    def _length(self) -> int:
        if self.mark() != "L":
            self.refuse()
        return int.from_bytes(self._take(8), "big", signed=True)

    def _take(self, size: int) -> bytes:
        found = self._data[self.place : self.place + size]
        if size < 0 or len(found) != size:
            self.refuse()
        self.place += size
        return found
