"""One format for each kind of value: Parquet, npy, npz, UBJSON, skops.

Each has a module with the functions ``encode`` and ``decode``, which is imported when a value of
the kind appears: Airflow imports the XCom backend in every process, and most never see a matrix.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any


@dataclass(frozen=True)
class Codec:
    """Storage format of one kind of value.

    Parameters
    ----------
    kind
        Name of the kind.
    suffix
        Suffix of the file.
    owns
        Whether a value is of this kind.
    module
        Module of this package that turns it into bytes and back.
    shape
        Its size as a person says it.
    """

    kind: str
    suffix: str
    owns: Callable[[Any], bool]
    module: str
    shape: Callable[[Any], str | None]

    def encode(self, value: object) -> bytes:
        """Return the bytes of a file."""
        encoded: bytes = self._functions().encode(value)
        return encoded

    def decode(self, data: bytes) -> Any:  # noqa: ANN401 - a value of this kind
        """Return the value of a file's bytes."""
        return self._functions().decode(data)

    def _functions(self) -> ModuleType:
        return importlib.import_module(f"{__name__}.{self.module}")


def codec_of(value: object) -> Codec | None:
    """The codec that owns a value, if there is one."""
    return next((codec for codec in CODECS.values() if codec.owns(value)), None)


def _is_a(module: str, *names: str) -> Callable[[Any], bool]:
    """Return a check of a value's class, or a base class, by name; it imports nothing."""

    def check(value: object) -> bool:
        return any(
            parent.__name__ in names and parent.__module__.split(".")[0] == module
            for parent in type(value).__mro__
        )

    return check


def _rows_and_columns(value: Any) -> str:  # noqa: ANN401 - anything with a shape
    return " x ".join(f"{length:,}" for length in value.shape)


def _stored_entries(matrix: Any) -> str:  # noqa: ANN401 - anything with entries
    return f"{_rows_and_columns(matrix)}, {matrix.nnz:,} stored"


CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        codec.kind: codec
        for codec in (
            Codec(
                "DataFrame",
                ".parquet",
                _is_a("pandas", "DataFrame"),
                "frames",
                _rows_and_columns,
            ),
            Codec(
                "Series",
                ".series.parquet",
                _is_a("pandas", "Series"),
                "series",
                _rows_and_columns,
            ),
            Codec(
                "ndarray",
                ".npy",
                _is_a("numpy", "ndarray"),
                "arrays",
                _rows_and_columns,
            ),
            Codec(
                "csr_matrix",
                ".npz",
                _is_a("scipy", "csr_matrix", "csr_array"),
                "sparse",
                _stored_entries,
            ),
            Codec(
                "Booster",
                ".ubj",
                _is_a("xgboost", "Booster"),
                "boosters",
                lambda booster: f"{booster.num_boosted_rounds()} rounds",
            ),
            # skops writes memory addresses: the same estimator never gives the same bytes twice.
            Codec(
                "estimator",
                ".skops",
                _is_a("sklearn", "BaseEstimator"),
                "estimators",
                lambda estimator: type(estimator).__name__,
            ),
        )
    }
)
