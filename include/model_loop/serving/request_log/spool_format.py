"""Files of a spool: the format, in which damage is seen, and what it has cost is counted.

A file begins with a mark and a head; records follow. The head says how many records each of the two
files of a spool holds, and how many the spool could not keep. Both files hold the same head, with a
checksum: if one of them is damaged, wherever it is, the other one still says what was in it. Each
record has a checksum too, which begins with the turn of its file: what an earlier turn has left
behind the last record passes for none. If both heads are damaged, sound records are still read, and
damaged ones are reported as lost.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

#: Ends of the names of files. Another layout has another one: no damage makes it pass for ours.
SUFFIX, OLD_SUFFIX = ".spool3", ".spool"
MARK, _OLD_MARK = b"spool/3\n", b"spool/2\n"
#: Losses of the spool; records and turn of the first file; the same of the second.
_NUMBERS = struct.Struct("<QQIQI")
_CHECK = struct.Struct("<I")
#: Bytes before the first record.
HEAD = len(MARK) + _NUMBERS.size + _CHECK.size
#: Place of the numbers, with their checksum.
NUMBERS = slice(len(MARK), HEAD)
#: Length and checksum, before each record; a length of zero stands behind the last one.
FRONT = struct.Struct("<II")
END = bytes(FRONT.size)
_OLD_LENGTH, _OLD_HEAD = 4, 16
#: Every answer takes the time of these; looking them up would add to it.
_PACK, _PACK_FRONT, _PACK_CHECK, _crc = _NUMBERS.pack, FRONT.pack, _CHECK.pack, zlib.crc32
#: Tables of CRC-32: the change by each byte, and the byte that changes the highest one so.
_ALL = 2**32 - 1
_TABLE = [zlib.crc32(bytes([byte]), _ALL) ^ _ALL for byte in range(256)]
_PLACES = {value >> 24: place for place, value in enumerate(_TABLE)}
#: A larger number of losses is damage: the database takes none.
_MOST_LOST = 2**31 - 1

Record = TypeVar("Record")
Decode = Callable[[bytes], Record]


@dataclass
class Contents(Generic[Record]):
    """Records and losses of a file.

    Parameters
    ----------
    records
        Those that can be read.
    lost
        Number of records that could not be kept, or cannot be read.
    damage
        Damage of the file; empty if there is none.
    """

    records: list[Record] = field(default_factory=list)
    lost: int = 0
    damage: str = ""


def packed_numbers(numbers: Sequence[int]) -> bytes:
    """Return what stands behind the mark; see `_NUMBERS`."""
    packed = _PACK(*numbers)
    return packed + _PACK_CHECK(_crc(packed))


def framed(payload: bytes, turn: int) -> bytes:
    """Return a record as it stands in a file, with the end behind it."""
    return _PACK_FRONT(len(payload), _crc(payload, turn)) + payload + END


def read_contents(
    data: bytes, other: bytes, place: int, decode: Decode[Record]
) -> Contents[Record]:
    """Read a file.

    Parameters
    ----------
    data
        Its content.
    other
        Content of the other file of the spool; empty if it is not there.
    place
        0 for the first file, 1 for the second.
    decode
        Makes a record of its bytes.
    """
    own = _numbers(data)
    numbers = own or _numbers(other)
    if numbers is None:
        return _without_numbers(data, decode)
    lost, (kept, turn) = numbers[0], numbers[1 + 2 * place : 3 + 2 * place]
    found: Contents[Record] = Contents()
    for payload in _payloads(data, turn):
        _add(found, payload, decode)
    missing = max(0, kept - len(found.records))
    # Lost records are reported once, by the first file alone.
    found.lost = missing + (lost if place == 0 else 0)
    if missing:
        found.damage = f"{missing} of {kept} predictions cannot be read"
    elif own is None or not data.startswith(MARK):
        found.damage = "its head is damaged, and nothing was lost"
    return found


def _without_numbers(data: bytes, decode: Decode[Record]) -> Contents[Record]:
    """Read a file of which no head says what is in it.

    Its turn is the one that most checksums begin with; of damaged ones, it is a large number by
    chance. The number of records that were not stored is lost. If nothing can be read, one loss is
    reported, so that the number of losses shows it.
    """
    framed = list(_frames(data))
    turns = Counter(turn_of(payload, check) for payload, check in framed)
    turn = max(turns, key=lambda one: (turns[one], -one), default=0)
    found: Contents[Record] = Contents()
    for payload, check in framed:
        if _crc(payload, turn) == check:
            _add(found, payload, decode)
    found.lost = len(framed) - len(found.records) or int(not framed)
    found.damage = (
        f"it is not known how many predictions were in it: {len(found.records)} can be read, and "
        f"{found.lost} or more cannot"
    )
    return found


def turn_of(payload: bytes, check: int) -> int:
    """Return the turn with which a checksum has begun: CRC-32, a byte at a time, backwards."""
    state = check ^ _ALL
    for byte in reversed(payload):
        place = _PLACES[state >> 24]
        state = ((state ^ _TABLE[place]) << 8 & _ALL) | place ^ byte
    return state ^ _ALL


def read_old_contents(data: bytes, decode: Decode[Record]) -> Contents[Record]:
    """Read a file of an earlier layout, in which not all damage can be seen."""
    found: Contents[Record] = Contents()
    begin = 0
    if data.startswith(_OLD_MARK):
        begin = _OLD_HEAD
        found.lost = int.from_bytes(data[len(_OLD_MARK) : begin])
        if found.lost > _MOST_LOST:
            found.lost, found.damage = 0, "the number of its losses cannot be read"
    begin += _OLD_LENGTH
    while length := int.from_bytes(data[begin - _OLD_LENGTH : begin]):
        _add(found, data[begin : begin + length], decode)
        begin += length + _OLD_LENGTH
    return found


def _add(found: Contents[Record], payload: bytes, decode: Decode[Record]) -> None:
    try:
        found.records.append(decode(payload))
    except (msgspec.MsgspecError, ValueError) as error:
        # For bytes that are not text, msgspec raises the same error as Python.
        found.damage = f"a prediction in it cannot be read: {error}"


def _payloads(data: bytes, turn: int) -> Iterator[bytes]:
    """Find the records of a turn whose checksum is theirs."""
    return (payload for payload, check in _frames(data) if _crc(payload, turn) == check)


def _frames(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Find what stands where records stand, each with its checksum."""
    begin = HEAD
    while begin + FRONT.size <= len(data):
        length, check = FRONT.unpack_from(data, begin)
        begin += FRONT.size
        if not length:
            return
        yield data[begin : begin + length], check
        begin += length


def _numbers(data: bytes) -> tuple[int, ...] | None:
    """Read the head of a file; None if it is damaged."""
    told = data[NUMBERS]
    packed = told[: _NUMBERS.size]
    return _NUMBERS.unpack(packed) if told[_NUMBERS.size :] == _PACK_CHECK(_crc(packed)) else None
