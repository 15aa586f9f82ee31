"""Writing, reading and removing stored objects."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from upath import UPath

from model_loop.errors import StoredObjectError
from model_loop.objects.archives import ArchiveMembers, write_archive
from model_loop.objects.codecs import CODECS, codec_of
from model_loop.objects.files import LOCAL_PROTOCOLS, atomic_write
from model_loop.objects.limits import bounded_file
from model_loop.objects.reference import ObjectReference
from model_loop.objects.tree import from_tree, is_own_dataclass, to_tree

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
    codec = codec_of(value)
    if codec is not None:
        data = codec.encode(value)
        return _kept(data, folder, name, codec.suffix, codec.kind, codec.shape(value))
    kind = type(value).__name__ if is_own_dataclass(value) else "json"
    shape = f"{len(value):,} items" if isinstance(value, list | tuple | dict) else None
    tree, parts = to_tree(value)
    manifest = json.dumps(tree, allow_nan=False).encode()
    if not parts:
        return _kept(manifest, folder, name, _JSON_SUFFIX, kind, shape)
    if folder.protocol not in LOCAL_PROTOCOLS:
        buffer = io.BytesIO()
        write_archive(buffer, manifest, parts)
        return _kept(buffer.getvalue(), folder, name, _TREE_SUFFIX, kind, shape)
    written = dict[str, Any]()

    def named(partial: UPath) -> UPath:
        with Path(partial.path).open("rb") as file:
            written["digest"] = hashlib.file_digest(file, "sha256").hexdigest()
            written["size"] = file.seek(0, io.SEEK_END)
        written["path"] = folder / f"{name}-{written['digest'][:16]}{_TREE_SUFFIX}"
        found: UPath = written["path"]
        return found

    with (
        atomic_write(folder / f"{name}{_TREE_SUFFIX}", named) as partial,
        Path(partial.path).open("r+b") as file,
    ):
        write_archive(file, manifest, parts)
    return ObjectReference(kind, shape, written["size"], written["digest"], _uri(written["path"]))


def _kept(
    data: bytes, folder: UPath, name: str, suffix: str, kind: str, shape: str | None
) -> ObjectReference:
    digest = hashlib.sha256(data).hexdigest()
    path = folder / f"{name}-{digest[:16]}{suffix}"
    write_bytes(path, data)
    return ObjectReference(kind, shape, len(data), digest, _uri(path))


def read_object(reference: ObjectReference) -> Any:  # noqa: ANN401 - any value that was stored
    """Read a stored object, after checking that it is what was written.

    Large arrays of a local file are mapped: their pages are read when they are asked for.

    Raises
    ------
    StoredObjectError
        If the object is missing or was altered.
    """
    with _opened(reference) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != reference.digest:
            raise StoredObjectError(
                f"The stored {reference.kind} {reference.uri}",
                f"was altered: it has {file.seek(0, io.SEEK_END)} bytes with another digest than "
                f"when it was written ({reference.size} bytes)",
                "Clear the task that made it, so that it is made again.",
            )
        file.seek(0)
        return _decode(reference.uri, file)


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


def _opened(reference: ObjectReference) -> io.BufferedReader | io.BytesIO:
    path = UPath(reference.uri)
    try:
        if path.protocol in LOCAL_PROTOCOLS:
            return Path(path.path).open("rb")
        return io.BytesIO(path.read_bytes())
    except FileNotFoundError as error:
        raise StoredObjectError(
            f"The stored {reference.kind} {reference.uri}",
            "is gone",
            "Clear the task that made it, so that it is made again.",
        ) from error


def _decode(uri: str, file: BinaryIO) -> Any:  # noqa: ANN401 - any value that was stored
    # The longest suffix decides: a Series is a Parquet file too.
    for codec in sorted(CODECS.values(), key=lambda codec: -len(codec.suffix)):
        if uri.endswith(codec.suffix):
            return codec.decode(file.read())
    if uri.endswith(_JSON_SUFFIX):
        return from_tree(_parse(uri, file.read()), {})
    with zipfile.ZipFile(bounded_file(file, f"The stored object {uri}")) as archive:
        members = ArchiveMembers(archive)
        return from_tree(_parse(uri, members.manifest), members)


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


def _uri(path: UPath) -> str:
    if path.protocol not in LOCAL_PROTOCOLS:
        return str(path)
    # Not as_uri(): what is read later takes the path as it is, not percent-encoded.
    return f"file://{Path(path.path).absolute()}"
