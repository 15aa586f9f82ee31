"""Digests of files."""

from __future__ import annotations

import hashlib

from upath import UPath

from model_loop.errors import SourceError

_CHUNK = 2**20


def sha256_of(path: str, address: str = "") -> tuple[str, int]:
    """Return the sha256 (hex) of a file, and its bytes.

    Parameters
    ----------
    address
        Address that it was copied from, for the error; its own by default.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with UPath(path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise SourceError(
            f"The file {address or path}",
            f"cannot be read ({error.strerror or error})",
            "Check the source of the dataset, and that the file may be read.",
        ) from error
    return digest.hexdigest(), size
