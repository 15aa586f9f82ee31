"""Writing, reading and removing stored objects."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from upath import UPath

from model_loop.errors import StoredObjectError
from model_loop.objects.codecs import CODECS, codec_of
from model_loop.objects.files import LOCAL_PROTOCOLS, atomic_write
from model_loop.objects.limits import bounded_archive
from model_loop.objects.reference import ObjectReference
from model_loop.objects.tree import from_tree, is_own_dataclass, to_tree

_MANIFEST = "manifest.json"
_JSON_SUFFIX = ".json"
_TREE_SUFFIX = ".zip"


def write_object(value: object, folder: UPath, name: str) -> ObjectReference:
    """Store a value as a file of *folder* whose name ends with its digest.

    The same value stored twice is the same file, except for estimators (see `codecs`). The file
    appears whole or not at all.

    Raises
    ------
    StoredObjectError
        If the value, or something in it, cannot be stored.
    """
    kind, suffix, shape, data = _encode(value)
    digest = hashlib.sha256(data).hexdigest()
    path = folder / f"{name}-{digest[:16]}{suffix}"
    write_bytes(path, data)
    return ObjectReference(kind, shape, len(data), digest, _uri(path))


def read_object(reference: ObjectReference) -> Any:  # noqa: ANN401 - any value that was stored
    """Read a stored object, after checking that it is what was written.

    Raises
    ------
    StoredObjectError
        If the object is missing or was altered.
    """
    data = _read_bytes(reference)
    if hashlib.sha256(data).hexdigest() != reference.digest:
        raise StoredObjectError(
            f"The stored {reference.kind} {reference.uri}",
            f"was altered: it has {len(data)} bytes with another digest than when it was written "
            f"({reference.size} bytes)",
            "Clear the task that made it, so that it is made again.",
        )
    return _decode(reference.uri, data)


def remove_object(reference: ObjectReference) -> None:
    """Remove a stored object; one that is gone already is no error."""
    UPath(reference.uri).unlink(missing_ok=True)


def write_bytes(path: UPath, data: bytes) -> None:
    """Write a file that appears whole or not at all.

    On object stores a single put does that; elsewhere the file is written beside its place first.
    """
    if path.protocol not in LOCAL_PROTOCOLS:
        path.write_bytes(data)
        return
    with atomic_write(path) as partial:
        partial.write_bytes(data)


def _read_bytes(reference: ObjectReference) -> bytes:
    try:
        return UPath(reference.uri).read_bytes()
    except FileNotFoundError as error:
        raise StoredObjectError(
            f"The stored {reference.kind} {reference.uri}",
            "is gone",
            "Clear the task that made it, so that it is made again.",
        ) from error


def _encode(value: object) -> tuple[str, str, str | None, bytes]:
    """Kind, suffix, shape and bytes."""
    codec = codec_of(value)
    if codec is not None:
        return codec.kind, codec.suffix, codec.shape(value), codec.encode(value)
    kind = type(value).__name__ if is_own_dataclass(value) else "json"
    tree, parts = to_tree(value)
    manifest = json.dumps(tree, allow_nan=False).encode()
    shape = f"{len(value):,} items" if isinstance(value, list | tuple | dict) else None
    if not parts:
        return kind, _JSON_SUFFIX, shape, manifest
    return kind, _TREE_SUFFIX, shape, _pack({_MANIFEST: manifest, **parts})


def _decode(uri: str, data: bytes) -> Any:  # noqa: ANN401 - any value that was stored
    # The longest suffix decides: a Series is a Parquet file too.
    for codec in sorted(CODECS.values(), key=lambda codec: -len(codec.suffix)):
        if uri.endswith(codec.suffix):
            return codec.decode(data)
    if uri.endswith(_JSON_SUFFIX):
        return from_tree(_parse(uri, data), {})
    plain = bounded_archive(data, f"The stored object {uri}")
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    return from_tree(_parse(uri, parts.pop(_MANIFEST, b"")), parts)


def _parse(uri: str, manifest: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(manifest)
    except (ValueError, RecursionError) as error:
        # Python's own words for the second are "maximum recursion depth exceeded".
        deep = isinstance(error, RecursionError)
        raise StoredObjectError(
            f"The stored object {uri}",
            "is nested too deep" if deep else f"is not JSON ({error})",
            "Clear the task that made it, so that it is made again.",
        ) from error


def _pack(files: dict[str, bytes]) -> bytes:
    """An archive that depends on nothing but its files: no times, no compression."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _uri(path: UPath) -> str:
    if path.protocol not in LOCAL_PROTOCOLS:
        return str(path)
    # Not as_uri(): what is read later takes the path as it is, not percent-encoded.
    return f"file://{Path(path.path).absolute()}"
