"""Files of a source: one for each partition, a pattern of several, or one table."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from upath import UPath

from model_loop.datasets.declaration import PARTITION, Declaration, source_in
from model_loop.errors import SourceError, look_up
from model_loop.partitions.keys import key_pattern
from model_loop.partitions.types import SourceFile
from model_loop.tables.table import source_files

_CHUNK = 2**20
_WEB = ("http://", "https://")


def resolved_source(declaration: Declaration, folder: Path) -> Declaration:
    """Return a declaration whose sources are whole addresses.

    Parameters
    ----------
    folder
        Folder of the declaration's file, at which relative paths begin.
    """
    variants = {
        name: variant.model_copy(
            update={"source": variant.source and source_in(variant.source, folder)}
        )
        for name, variant in declaration.variants.items()
    }
    source = source_in(declaration.source, folder)
    return declaration.model_copy(update={"source": source, "variants": variants})


def find_files(
    declaration: Declaration, variant: str, partitions: Sequence[str] = ()
) -> tuple[SourceFile, ...]:
    """Find the files of a variant, in the order of their partitions or names.

    Parameters
    ----------
    declaration
        Its sources are whole addresses.
    variant
        Key of the variant.
    partitions
        Keys of the wanted partitions; all that there are, if empty.

    Raises
    ------
    SourceError
        If there is none, or one of the wanted ones is missing.
    TableFileError
        If the source cannot be listed.
    """
    named = variant.partition(".")[2] or None
    source = declaration.source
    if named is not None:
        source = look_up("Variant", named, declaration.variants).source or source
    if PARTITION not in source:
        addresses = source_files(declaration, variant=named)
        return tuple(identify(variant, None, address) for address in addresses)
    if source.startswith(_WEB):
        # Sites do not list their files.
        keys = {key: source.replace(PARTITION, key) for key in partitions}
    else:
        pattern = re.compile("(.+)".join(map(re.escape, source.split(PARTITION, 1))))
        found = map(pattern.fullmatch, source_files(declaration, variant=named))
        keys = {
            match[1]: match[0]
            for match in found
            if match and re.fullmatch(key_pattern(declaration.partition), match[1])
        }
    missing = [key for key in partitions if key not in keys]
    if missing or not keys:
        raise SourceError(
            f"The source {source}",
            f"has no file of {', '.join(missing) or f'a {declaration.partition}'}",
            f"Name partitions that it has: {', '.join(sorted(keys)) or 'there is none'}.",
        )
    return tuple(
        identify(variant, key, address)
        for key, address in sorted(keys.items())
        if not partitions or key in partitions
    )


def identify(variant: str, partition: str | None, address: str) -> SourceFile:
    """Identify a file by its content.

    Parameters
    ----------
    partition
        Key of the partition; None where the file holds several, or a part of a table.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    path, digest, size = UPath(address), hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise SourceError(
            f"The file {address}",
            f"cannot be read ({error.strerror or error})",
            "Check the source of the dataset, and that the file may be read.",
        ) from error
    return SourceFile(
        variant=variant,
        partition=partition or path.name,
        path=address,
        size=size,
        data_source=path.protocol if path.protocol in {"s3", "https", "http"} else "folder",
        url=address,
        digest=digest.hexdigest(),
    )
