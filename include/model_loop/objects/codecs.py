"""One format for each kind of value: Parquet, npy, npz, UBJSON, skops.

Libraries are imported only when a value of theirs appears: Airflow imports the XCom backend in
every process, and most never see a matrix.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from model_loop.errors import StoredObjectError
from model_loop.objects.limits import bounded_archive, bounded_table, require_array

_SERIES_NAME = b"model_loop_series_name"
#: Name of the same in files of versions before 0.2.
_FORMER_SERIES_NAME = b"trip_duration_series_name"


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
    encode, decode
        To bytes and back.
    shape
        Its size as a person says it.
    """

    kind: str
    suffix: str
    owns: Callable[[Any], bool]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    shape: Callable[[Any], str | None]


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


def _encode_frame(frame: Any) -> bytes:  # noqa: ANN401 - imported inside
    return _to_parquet(frame, {})


def _decode_frame(data: bytes) -> Any:  # noqa: ANN401 - imported inside
    return _from_parquet(data)[0]


def _to_parquet(frame: Any, metadata: dict[bytes, bytes]) -> bytes:  # noqa: ANN401 - imported inside
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pa.Table.from_pandas(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise StoredObjectError(
            "A DataFrame or Series",
            f"cannot be stored as Parquet: {error}",
            "Give every column its own name and values of one type.",
        ) from error
    _refuse_inexact_types(table.schema)
    buffer = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata}), buffer
    )
    # A table that could not be read back is refused by the task that would store it.
    bounded_table(buffer.getvalue(), "A DataFrame or Series")
    return buffer.getvalue()


def _refuse_inexact_types(schema: Any) -> None:  # noqa: ANN401 - imported inside
    """Parquet gives categories back as such only if they are text."""
    import pyarrow as pa

    text = (pa.string(), pa.large_string())
    for column in schema:
        if pa.types.is_dictionary(column.type) and column.type.value_type not in text:
            raise StoredObjectError(
                f"Column {column.name!r} with categories of type {column.type.value_type}",
                "would not come back as categories",
                "Make its categories text, or store the plain values.",
            )


def _from_parquet(data: bytes) -> tuple[Any, dict[bytes, bytes]]:
    table = bounded_table(data, "A stored DataFrame or Series")
    frame = table.to_pandas()
    # pandas 3 reads all text as its own dtype; what was stored as objects stays objects.
    objects = [
        column["name"]
        for column in (table.schema.pandas_metadata or {}).get("columns", ())
        if column["pandas_type"] == "unicode" and column["numpy_type"] == "object"
    ]
    return _as_objects(frame, objects), table.schema.metadata or {}


def _as_objects(frame: Any, names: list[str]) -> Any:  # noqa: ANN401 - imported inside
    for name in names:
        if name in frame.columns:
            values = frame[name].astype(object)
            frame[name] = values.where(values.notna(), None)
    return frame


def _encode_series(series: Any) -> bytes:  # noqa: ANN401 - imported inside
    import json

    if not (series.name is None or type(series.name) in (str, int)):
        raise StoredObjectError(
            f"The name {series.name!r} of a Series",
            "cannot be stored",
            "Name it with text or a whole number, or not at all.",
        )
    name = json.dumps(series.name).encode()
    return _to_parquet(series.to_frame("values"), {_SERIES_NAME: name})


def _decode_series(data: bytes) -> Any:  # noqa: ANN401 - imported inside
    import json

    frame, metadata = _from_parquet(data)
    return frame["values"].rename(
        json.loads(metadata.get(_SERIES_NAME) or metadata[_FORMER_SERIES_NAME])
    )


def _encode_array(array: Any) -> bytes:  # noqa: ANN401 - imported inside
    import numpy as np

    if array.dtype.hasobject:
        raise StoredObjectError(
            "An array of Python objects",
            "cannot be stored without pickle",
            "Give it a dtype of numbers, times or fixed-width text.",
        )
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _decode_array(data: bytes) -> Any:  # noqa: ANN401 - imported inside
    import numpy as np

    require_array(data, len(data), "A stored array")
    return np.load(io.BytesIO(data), allow_pickle=False)


def _encode_sparse(matrix: Any) -> bytes:  # noqa: ANN401 - imported inside
    from scipy import sparse

    buffer = io.BytesIO()
    sparse.save_npz(buffer, matrix, compressed=False)
    return buffer.getvalue()


def _decode_sparse(data: bytes) -> Any:  # noqa: ANN401 - imported inside
    from scipy import sparse

    plain = bounded_archive(data, "A stored matrix")
    try:
        matrix = sparse.load_npz(io.BytesIO(plain))
        # A product follows its numbers of rows and columns without looking at them.
        matrix.check_format(full_check=True)
        sound = matrix.format == "csr"
    except (ValueError, AttributeError):
        sound = False
    _require(sound, "matrix")
    return matrix


def _require(holds: bool, what: str) -> None:  # noqa: FBT001 - what has to hold
    if not holds:
        raise StoredObjectError(
            f"A stored {what}", "does not match its header, and is not loaded", "Store it anew."
        )


def _encode_booster(booster: Any) -> bytes:  # noqa: ANN401 - imported inside
    return bytes(booster.save_raw("ubj"))


def _decode_booster(data: bytes) -> Any:  # noqa: ANN401 - imported inside
    import xgboost

    from model_loop.objects.trees import require_sound_booster

    require_sound_booster(data)
    booster = xgboost.Booster()
    booster.load_model(bytearray(data))
    return booster


def _encode_estimator(estimator: Any) -> bytes:  # noqa: ANN401 - imported inside
    from model_loop.objects.trust import dump_estimator

    return dump_estimator(estimator)


def _decode_estimator(data: bytes) -> Any:  # noqa: ANN401 - imported inside
    from model_loop.objects.trust import load_estimator

    return load_estimator(data)


def _stored_entries(matrix: Any) -> str:  # noqa: ANN401 - imported inside
    return f"{_rows_and_columns(matrix)}, {matrix.nnz:,} stored"


CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        codec.kind: codec
        for codec in (
            Codec(
                "DataFrame",
                ".parquet",
                _is_a("pandas", "DataFrame"),
                _encode_frame,
                _decode_frame,
                _rows_and_columns,
            ),
            Codec(
                "Series",
                ".series.parquet",
                _is_a("pandas", "Series"),
                _encode_series,
                _decode_series,
                _rows_and_columns,
            ),
            Codec(
                "ndarray",
                ".npy",
                _is_a("numpy", "ndarray"),
                _encode_array,
                _decode_array,
                _rows_and_columns,
            ),
            Codec(
                "csr_matrix",
                ".npz",
                _is_a("scipy", "csr_matrix", "csr_array"),
                _encode_sparse,
                _decode_sparse,
                _stored_entries,
            ),
            Codec(
                "Booster",
                ".ubj",
                _is_a("xgboost", "Booster"),
                _encode_booster,
                _decode_booster,
                lambda booster: f"{booster.num_boosted_rounds()} rounds",
            ),
            # skops writes memory addresses: the same estimator never gives the same bytes twice.
            Codec(
                "estimator",
                ".skops",
                _is_a("sklearn", "BaseEstimator"),
                _encode_estimator,
                _decode_estimator,
                lambda estimator: type(estimator).__name__,
            ),
        )
    }
)
