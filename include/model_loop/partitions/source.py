"""Files of a source: one for each partition, a pattern of several, or one table."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from upath import UPath

from model_loop.datasets.declaration import PARTITION, Part
from model_loop.errors import SourceError
from model_loop.partitions.keys import key_pattern
from model_loop.partitions.types import SourceFile

_CHUNK = 2**20
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class SourceAddress:
    """Address of a file, and the partition that it holds.

    Parameters
    ----------
    partition
        Key of its partition; None where the source does not say.
    address
        Path, or s3:// or https:// address.
    """

    partition: str | None
    address: str


def resolve_source(source: str, folder: Path) -> str:
    """Return the address of a source; a relative path begins at the folder of the declaration."""
    if "://" in source:
        return source
    return str(folder.resolve() / Path(source).expanduser())


def list_source(source: str, part: Part, partitions: Sequence[str] = ()) -> list[SourceAddress]:
    """List the files of a source, in the order of their partitions or names.

    Parameters
    ----------
    partitions
        Keys of the wanted partitions; all that there are, if empty.

    Raises
    ------
    SourceError
        If there is none, or one of the wanted ones is missing.
    """
    files = [*_found(source, part, partitions)]
    if not files:
        raise SourceError(
            f"The source {source}",
            "has no file",
            "Correct the source of the dataset: a relative path begins at its file's folder.",
        )
    if PARTITION in source and partitions:
        there = {each.partition for each in files}
        if missing := [key for key in partitions if key not in there]:
            raise SourceError(
                f"The source {source}",
                f"has no file of {', '.join(missing)}",
                f"Name partitions that it has: {', '.join(map(str, sorted(map(str, there))))}.",
            )
        files = [each for each in files if each.partition in partitions]
    return files


def _found(source: str, part: Part, partitions: Sequence[str]) -> Iterator[SourceAddress]:
    if PARTITION in source:
        if source.startswith(("http://", "https://")):
            # Sites do not list their files.
            for key in partitions:
                yield SourceAddress(key, source.replace(PARTITION, key))
            return
        pattern = re.compile("(.+)".join(re.escape(piece) for piece in source.split(PARTITION, 1)))
        for address in _matching(source.replace(PARTITION, "*")):
            found = pattern.fullmatch(address)
            if found and re.fullmatch(key_pattern(part), found[1]):
                yield SourceAddress(found[1], address)
        return
    if _GLOB.search(source) and not source.startswith(("http://", "https://")):
        yield from (SourceAddress(None, address) for address in _matching(source))
        return
    path = UPath(source)
    if not source.startswith(("http://", "https://")) and path.is_dir():
        for address in _matching(f"{source.rstrip('/')}/*"):
            yield SourceAddress(None, address)
        return
    yield SourceAddress(None, source)


def _matching(pattern: str) -> list[str]:
    """Return the addresses that a pattern matches, sorted; hidden files and folders are none."""
    at = _GLOB.search(pattern)
    folder, _, rest = (pattern if at is None else pattern[: at.start()]).rpartition("/")
    below = pattern[len(folder) + 1 :] if folder or pattern.startswith("/") else pattern
    del rest
    root = UPath(folder or ("/" if pattern.startswith("/") else "."))
    if not root.exists():
        return []
    return sorted(
        str(path)
        for path in root.glob(below)
        if path.is_file() and not path.name.startswith((".", "_"))
    )


def identify(variant: str, address: SourceAddress) -> SourceFile:
    """Identify a file by its content.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    path, digest, size = UPath(address.address), hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise SourceError(
            f"The file {address.address}",
            f"cannot be read ({error.strerror or error})",
            "Check the source of the dataset, and that the file may be read.",
        ) from error
    kind = path.protocol or "folder"
    return SourceFile(
        variant=variant,
        partition=address.partition or path.name,
        path=address.address,
        size=size,
        data_source=kind if kind in {"s3", "https", "http"} else "folder",
        url=address.address,
        digest=digest.hexdigest(),
    )
