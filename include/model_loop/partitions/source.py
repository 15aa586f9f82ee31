"""Files of a source: one for each partition, a pattern of several, or one table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from upath import UPath

from model_loop.datasets.addresses import PARTITION, holds_key, key_in
from model_loop.datasets.declaration import DatabaseSource, Declaration, source_in
from model_loop.errors import SourceError
from model_loop.objects.remote import WEB, is_remote, naming
from model_loop.partitions.database import copy_partitions
from model_loop.partitions.digests import sha256_of
from model_loop.partitions.keys import key_pattern
from model_loop.partitions.types import Copies, SourceFile
from model_loop.tables.table import source_files

#: Partitions that an error names; of more, it names the first and the last.
_NAMED = 12


def resolved_source(declaration: Declaration, folder: Path) -> Declaration:
    """Return a declaration whose sources are whole addresses.

    Parameters
    ----------
    folder
        Folder of the declaration's file, at which relative paths begin.
    """

    def whole(source: str | DatabaseSource | None) -> str | DatabaseSource | None:
        return source_in(source, folder) if isinstance(source, str) else source

    variants = {
        name: variant.model_copy(update={"source": whole(variant.source)})
        for name, variant in declaration.variants.items()
    }
    source = whole(declaration.source)
    return declaration.model_copy(update={"source": source, "variants": variants})


def find_files(
    declaration: Declaration,
    variant: str,
    partitions: Sequence[str] = (),
    *,
    copies: Copies | None = None,
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
    copies
        Copies of remote files and of rows of a database; without them, remote files are read where
        they are, and a database is not read.

    Raises
    ------
    SourceError
        If there is none, one of the wanted ones is missing, or a server does not answer.
    TableFileError
        If the source cannot be listed.
    """
    named = variant.partition(".")[2] or None
    source = declaration.source_of(named)
    if isinstance(source, DatabaseSource):
        if copies is None:
            raise SourceError(
                f"The source {source}", "has no files", "Read it with a storage for its copies."
            )
        return copy_partitions(declaration, variant, partitions, copies)

    def identified(key: str | None, address: str) -> SourceFile:
        if copies is None or not is_remote(address):
            return identify(variant, key, address)
        path, etag, modified = copies.fetch(address)
        file = identify(variant, key, address, path)
        return replace(file, etag=etag, last_modified=modified)

    if not holds_key(source):
        with naming(source):
            addresses = source_files(declaration, variant=named)
        return tuple(identified(None, address) for address in addresses)
    keys = _addresses_by_key(source, declaration, named, partitions)
    missing = [key for key in partitions if key not in keys]
    if missing or not keys:
        raise SourceError(
            f"The source {source}",
            f"has no file of {', '.join(missing) or f'a {declaration.partition}'}",
            f"Name partitions that it has: {_listed(sorted(keys)) or 'there is none'}.",
        )
    return tuple(
        identified(key, address)
        for key, addresses in sorted(keys.items())
        if not partitions or key in partitions
        for address in addresses
    )


def _addresses_by_key(
    source: str, declaration: Declaration, variant: str | None, partitions: Sequence[str]
) -> dict[str, list[str]]:
    """Return the addresses of the files of each partition, by its key."""
    if source.startswith(WEB):
        if not partitions:
            raise SourceError(
                f"The source {source}",
                f"is of a web server, which lists no {declaration.partition} that it has",
                f"Name each {declaration.partition} that is wanted.",
            )
        return {key: [source.replace(PARTITION, key)] for key in partitions}
    pattern, keys = re.compile(key_pattern(declaration.partition)), dict[str, list[str]]()
    with naming(source):
        found = source_files(declaration, variant=variant)
    for address in found:
        key = key_in(source, address, declaration.partition)
        if key is not None and pattern.fullmatch(key):
            keys.setdefault(key, []).append(address)
    return keys


def _listed(keys: Sequence[str]) -> str:
    if len(keys) <= _NAMED:
        return ", ".join(keys)
    return f"{len(keys):,}, from {keys[0]} to {keys[-1]}"


def identify(
    variant: str, partition: str | None, address: str, path: str | None = None
) -> SourceFile:
    """Identify a file by its content.

    Parameters
    ----------
    partition
        Key of the partition; None where the file holds several, or a part of a table.
    path
        Path of its copy; by default it is read where it is.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    source = UPath(address)
    digest, size = sha256_of(path or address, address)
    return SourceFile(
        variant=variant,
        partition=partition or source.name,
        path=path or address,
        size=size,
        data_source=source.protocol if source.protocol in {"s3", "https", "http"} else "folder",
        url=address,
        digest=digest,
    )
