"""Bounds of what is read: a small file must not take much memory, whatever it says of itself."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from typing import BinaryIO, NoReturn

from model_loop.errors import StoredObjectError

#: Bytes to which compressed members of an archive may unfold together: so many times the archive's,
#: and so many besides. Our own archives are not compressed at all.
_TIMES, _BESIDES = 20, 64 * 2**20
#: Bytes of an array that hold its header; NumPy itself reads 10,000 of them at most.
_HEADER = 2**14
_ARRAY = ".npy"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError),
    # Raised of encrypted members, and of methods and versions that Python does not know.
    *(RuntimeError, NotImplementedError, ValueError),
)


def bounded_file(file: BinaryIO, name: str) -> BinaryIO:
    """Return an archive with the same members, none of which is compressed: itself, if it can be.

    Parameters
    ----------
    name
        Name in errors.

    Raises
    ------
    StoredObjectError
        If it is no archive, a name stands in it twice, members lie upon each other or unfold to too
        much, or an array says another size than it has.
    """
    place = file.tell()
    size = file.seek(0, io.SEEK_END)
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len({member.filename for member in members}) != len(members):
                refuse(name, "a name twice")
            if (
                any(member.compress_type not in _METHODS for member in members)
                or sum(member.compress_size for member in members) > size
                or sum(member.file_size for member in members) > _TIMES * size + _BESIDES
            ):
                refuse(name, "members that unfold to too much")
            for member in members:
                if member.filename.endswith(_ARRAY):
                    require_array(_beginning(archive, member, _HEADER), member.file_size, name)
            if all(_is_plain(member) for member in members):
                return file
            return _pack({member.filename: _beginning(archive, member) for member in members})
    except _UNREADABLE as error:
        raise StoredObjectError(name, f"cannot be read ({error})", "Store it anew.") from error
    finally:
        file.seek(place)


def bounded_archive(data: bytes, name: str) -> bytes:
    """Return what `bounded_file` returns, of bytes.

    Raises
    ------
    StoredObjectError
        See `bounded_file`.
    """
    file = io.BytesIO(data)
    plain = bounded_file(file, name)
    return data if plain is file else plain.read()


def require_array(beginning: bytes, size: int, name: str) -> None:
    """Refuse an array of NumPy's format whose header says another size than it has.

    Room is made for as much as the header says, before anything behind it is read.

    Parameters
    ----------
    beginning
        Its bytes up to the end of the header at least.
    size
        Number of all its bytes.

    Raises
    ------
    StoredObjectError
        If it is so.
    """
    header = io.BytesIO(beginning[:_HEADER])
    import numpy as np  # noqa: PLC0415 - every process of Airflow imports this; few read an array

    first, later = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    try:
        version = np.lib.format.read_magic(header)
        shape, _, dtype = (first if version == (1, 0) else later)(header)
    except (ValueError, TypeError, SyntaxError, RecursionError) as error:
        raise StoredObjectError(name, f"holds no array ({error})", "Store it anew.") from error
    there = math.prod(shape) * dtype.itemsize == size - header.tell()
    # Numbers without bytes would be there in any number.
    if not there or min(shape, default=0) < 0 or not (dtype.itemsize or 0 in shape):
        raise StoredObjectError(
            name,
            "does not match its header (an array has another size), and is not loaded",
            "Store it anew.",
        )


def _is_plain(info: zipfile.ZipInfo) -> bool:
    return info.compress_type == zipfile.ZIP_STORED and info.file_size == info.compress_size


def _beginning(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int | None = None) -> bytes:
    """Return the first bytes of a member, or as many as the directory says.

    Told no number, its reader unfolds all of it before it looks at what there should be.
    """
    with archive.open(info) as member:
        return member.read(info.file_size if most is None else min(most, info.file_size))


def _pack(members: dict[str, bytes]) -> BinaryIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    buffer.seek(0)
    return buffer


def refuse(name: str, defect: str) -> NoReturn:
    """Refuse a file for something that it has."""
    raise StoredObjectError(name, f"has {defect}, and is not loaded", "Store it anew.")
