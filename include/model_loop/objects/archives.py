"""Archives of stored objects: a manifest, and a file for each part, none of them compressed.

Large arrays begin at a multiple of 64 bytes, so that they can be mapped where they lie.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from model_loop.objects.tree import Leaf, Parts

_MANIFEST = "manifest.json"
_ARRAY = ".npy"
#: Bytes of an array from which on it is written in pieces, and mapped instead of read.
MAPPED_BYTES = 2**26
_ALIGNED = 64
#: Extra field of padding, by which tools of Android align members too; two short numbers each.
_PADDING, _PADDING_HEADER = 0xD935, struct.Struct("<HH")
#: Bytes of a member's own header before its name, and where the lengths of name and extra stand.
_HEADER, _LENGTHS = 30, 26
#: Bytes of the extra field that holds sizes of more than four gigabytes.
_ZIP64 = 20


def write_archive(file: BinaryIO, manifest: bytes, parts: Parts) -> None:
    """Write an archive that depends on nothing but its parts: no times, no compression.

    Each part is encoded when its turn comes, so that no two of them are held.

    Raises
    ------
    StoredObjectError
        If a part cannot be stored.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(_MANIFEST), manifest)
        for name, leaf in parts.items():
            if name.endswith(_ARRAY) and leaf.value.nbytes >= MAPPED_BYTES:
                _write_array(archive, name, leaf, file.tell())
            else:
                archive.writestr(zipfile.ZipInfo(name), leaf.encode())


def _write_array(archive: zipfile.ZipFile, name: str, leaf: Leaf, begin: int) -> None:
    from model_loop.objects.codecs import arrays  # noqa: PLC0415 - few processes see an array

    info = zipfile.ZipInfo(name)
    info.file_size = arrays.size_of(leaf.value)
    bare = _HEADER + len(name.encode()) + _PADDING_HEADER.size + _ZIP64
    padding = -(begin + bare) % _ALIGNED
    info.extra = _PADDING_HEADER.pack(_PADDING, padding) + bytes(padding)
    with archive.open(info, "w", force_zip64=True) as member:
        arrays.write(leaf.value, member)


class ArchiveMembers(Mapping[str, Any]):
    """Parts of an archive by their names: bytes, or of large arrays of a local file the array.

    Parameters
    ----------
    archive
        An archive none of whose members is compressed.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._infos = {info.filename: info for info in archive.infolist()}
        manifest = self._infos.pop(_MANIFEST, None)
        self.manifest = b"" if manifest is None else archive.read(manifest)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - bytes or an array
        """Read or map a part."""
        info, file = self._infos[name], self._archive.fp
        if (
            not name.endswith(_ARRAY)
            or info.file_size < MAPPED_BYTES
            or file is None
            or not _is_local(file)
        ):
            return self._archive.read(info)
        from model_loop.objects.codecs import arrays  # noqa: PLC0415 - few processes see an array

        return arrays.mapped(file, _data_of(file, info))

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._infos)

    def __len__(self) -> int:
        """Return the number of parts."""
        return len(self._infos)


def _is_local(file: IO[bytes]) -> bool:
    try:
        file.fileno()
    except OSError:
        return False
    return True


def _data_of(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Return where the data of a member begin: its header may be longer than the directory's."""
    file.seek(info.header_offset + _LENGTHS)
    name, extra = _PADDING_HEADER.unpack(file.read(_PADDING_HEADER.size))
    return info.header_offset + _HEADER + int(name) + int(extra)
