"""Ways to spoil a sound month, to be put together in `broken_months`."""

from __future__ import annotations

import dataclasses
import gzip
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
from tests.trip_duration.conftest import JANUARY

from trip_duration.contract.breaches import LONGEST_DISTANCE
from trip_duration.months import Month
from trip_duration.sample import generate_month
from trip_duration.sample_options import Corruption, SampleOptions
from trip_duration.services import DISTANCE, PASSENGERS, PICKUP_TIME, Service

OPTIONS = SampleOptions(trips=400, seed=1)
#: Microseconds.
DAY = 86_400 * 1_000_000


@dataclass(frozen=True)
class SoundMonth:
    """January of a service, as it should be.

    Parameters
    ----------
    service
        Whose.
    content
        A whole file.
    table
        Its trips, or some of them.
    """

    service: Service
    content: bytes
    table: pa.Table


#: Puts a spoiled month where the sound one should be.
Damage = Callable[[SoundMonth, Path], None]
#: Spoils the trips of a month.
Change = Callable[[pa.Table], pa.Table]


def as_file(table: pa.Table, **options: Any) -> bytes:
    """A table as the bytes of a Parquet file."""
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def sound_month(service: Service) -> SoundMonth:
    """A generated month without dirt."""
    table = generate_month(service, JANUARY, OPTIONS)
    return SoundMonth(service, as_file(table), table)


def published_month(service: Service, file: Path) -> SoundMonth:
    """A published month; its table is the sound ones of half its trips, for speed."""
    table = pq.read_table(file)
    some = table.take(np.arange(0, table.num_rows, 2)).to_pandas()
    columns = service.columns
    sound = (
        (some[columns[DISTANCE]] <= LONGEST_DISTANCE)
        & some[columns[PASSENGERS]].notna()
        & (some[columns[PICKUP_TIME]].dt.to_period("M") == str(JANUARY))
    )
    kept = table.take(2 * np.flatnonzero(sound))
    return SoundMonth(service, file.read_bytes(), kept)


# --- The file -----------------------------------------------------------------------------------


def content(change: Callable[[bytes], bytes]) -> Damage:
    """Change the bytes of the file."""
    return lambda sound, path: _write(path, change(sound.content))


def instead(given: bytes) -> Damage:
    """Put something else in the file's place."""
    return content(lambda _: given)


def _write(path: Path, given: bytes) -> None:
    path.write_bytes(given)


def footer_start(file: bytes) -> int:
    """Where the footer of a Parquet file begins; its length stands before the last four bytes."""
    return len(file) - 8 - int.from_bytes(file[-8:-4], "little")


def zeroed_pages(file: bytes) -> bytes:
    """Zeros in place of half of the pages; the footer is whole."""
    half = footer_start(file) // 2
    return file[:4] + bytes(half) + file[4 + half :]


def zeroed_footer(file: bytes) -> bytes:
    """Zeros in place of the middle of the footer."""
    start = footer_start(file)
    tenth = (len(file) - start) // 10
    return file[: start + tenth] + bytes(tenth) + file[start + 2 * tenth :]


def with_footer(file: bytes, footer: bytes) -> bytes:
    """The same pages under another footer."""
    return file[: footer_start(file)] + footer + len(footer).to_bytes(4, "little") + file[-4:]


def counting(more: int) -> Callable[[bytes], bytes]:
    """A footer that counts more rows, or fewer, than there are."""

    def change(file: bytes) -> bytes:
        footer = file[footer_start(file) : -8]
        rows = pq.read_metadata(io.BytesIO(file)).num_rows
        # The first 64-bit number of a footer is the number of all rows.
        return with_footer(file, _replaced(footer, _number(rows), _number(rows + more)))

    return change


def _number(value: int) -> bytes:
    """A field of a 64-bit number in Thrift's compact protocol."""
    rest, encoded = value << 1, bytearray(b"\x16")
    while rest >= 0x80:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*encoded, rest])


def cut_statistics(columns: int | None = None) -> Callable[[bytes], bytes]:
    """Statistics of 64-bit numbers that hold 32 bits; asked for them, Arrow ends the process."""
    one = (1).to_bytes(8, "little")
    # Each is there twice: under its present name, and under its former one.
    places = -1 if columns is None else 2 * columns

    def change(file: bytes) -> bytes:
        footer = file[footer_start(file) : -8]
        return with_footer(file, _replaced(footer, b"\x08" + one, b"\x04" + one[:4], places))

    return change


def _replaced(given: bytes, old: bytes, new: bytes, places: int = 1) -> bytes:
    """The same bytes with other ones in the first places that have the old ones."""
    assert old in given
    return given.replace(old, new, places)


def flipped_bit(column: str) -> Damage:
    """Pages with checksums, one of which does not fit: the last bit of a column is another."""

    def damage(sound: SoundMonth, path: Path) -> None:
        file = bytearray(as_file(sound.table, write_page_checksum=True, compression="none"))
        group = pq.read_metadata(io.BytesIO(file)).row_group(0)
        (chunk,) = (
            one
            for one in map(group.column, range(group.num_columns))
            if one.path_in_schema == column
        )
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        file[start + chunk.total_compressed_size - 1] ^= 1
        path.write_bytes(file)

    return damage


def gzipped(file: bytes) -> bytes:
    """The file, packed once more."""
    return gzip.compress(file, mtime=0)


def feather(sound: SoundMonth, path: Path) -> None:
    """The month in Arrow's own format."""
    pyarrow.feather.write_feather(sound.table, str(path))


def comma_separated(sound: SoundMonth, path: Path) -> None:
    """The month as CSV."""
    sound.table.to_pandas().to_csv(path)


def json_lines(sound: SoundMonth, path: Path) -> None:
    """The month as JSON."""
    sound.table.to_pandas().to_json(path, orient="records", lines=True, date_format="iso")


def folder(_sound: SoundMonth, path: Path) -> None:
    """A folder of the file's name."""
    path.mkdir()


def dangling_link(_sound: SoundMonth, path: Path) -> None:
    """A link to a file that is not there."""
    path.symlink_to("nothing.parquet")


def absent(_sound: SoundMonth, _path: Path) -> None:
    """Nothing at all."""


def empty_row_groups(sound: SoundMonth, path: Path) -> None:
    """Row groups without rows between the others."""
    with pq.ParquetWriter(path, sound.table.schema) as writer:
        for part in (sound.table.slice(0, 0), sound.table, sound.table.slice(0, 0)):
            writer.write_table(part)


# --- The trips ----------------------------------------------------------------------------------


def trips(*changes: Change, **options: Any) -> Damage:
    """Change the trips, one change after the other, and write them with some options."""

    def damage(sound: SoundMonth, path: Path) -> None:
        table = sound.table
        for change in changes:
            table = change(table)
        pq.write_table(table, path, **options)

    return damage


def dirty(**shares: float) -> Damage:
    """Strew dirt with the generator's own knobs."""
    options = dataclasses.replace(OPTIONS, dirt=Corruption(**shares))
    return lambda sound, path: _write(
        path, as_file(generate_month(sound.service, JANUARY, options))
    )


def month_of(service: Service, month: Month = JANUARY) -> Damage:
    """A sound month of another service or another time."""
    return lambda _sound, path: _write(path, as_file(generate_month(service, month, OPTIONS)))


def half_of(month: Month) -> Damage:
    """Half a month, and half of another."""

    def damage(sound: SoundMonth, path: Path) -> None:
        half = sound.table.num_rows // 2
        other = generate_month(sound.service, month, OPTIONS).select(sound.table.column_names)
        other = other.cast(sound.table.schema)
        pq.write_table(pa.concat_tables([sound.table.slice(0, half), other.slice(0, half)]), path)

    return damage


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    """The same table with other values in a column."""
    return table.set_column(table.schema.get_field_index(name), name, values)


def without(name: str) -> Change:
    """A column less."""
    return lambda table: table.drop_columns([name])


def cast(name: str, kind: pa.DataType) -> Change:
    """A column of another type; what does not fit is cut."""
    return lambda table: replaced(table, name, table[name].cast(kind, safe=False))


def refilled(name: str, fill: Callable[[pa.Table], Any]) -> Change:
    """A column of other values."""
    return lambda table: replaced(table, name, fill(table))


def constant(name: str, value: Any, kind: pa.DataType | None = None) -> Change:
    """A column that holds one value only."""
    return refilled(
        name,
        lambda table: pa.array(
            [value] * table.num_rows, table.schema.field(name).type if kind is None else kind
        ),
    )


def put(
    name: str, value: Any, rows: Sequence[int] | slice, kind: pa.DataType | None = None
) -> Change:
    """Some rows of a column with another value; times are given in their own unit since 1970."""

    def change(table: pa.Table) -> pa.Table:
        wanted = kind or table.schema.field(name).type
        plain = pa.int64() if pa.types.is_timestamp(wanted) else wanted
        values = np.array(table[name].cast(plain).to_pylist(), dtype=object)
        values[rows if isinstance(rows, slice) else list(rows)] = value
        return replaced(table, name, pa.array(values.tolist(), plain).cast(wanted))

    return change


def moved(names: Sequence[str], by: int, rows: Sequence[int] | None = None) -> Change:
    """Times moved by some microseconds, in all rows or some."""

    def change(table: pa.Table) -> pa.Table:
        for name in names:
            times = table[name].cast(pa.int64()).to_numpy().copy()
            times[slice(None) if rows is None else list(rows)] += by
            table = replaced(table, name, pa.array(times).cast(table[name].type))
        return table

    return change


def multiplied(name: str, by: float) -> Change:
    """A column of numbers in another unit."""
    return refilled(name, lambda table: pa.array(table[name].to_numpy() * by))


def swapped(one: str, other: str) -> Change:
    """Two columns under each other's names."""
    names: Mapping[str, str] = {one: other, other: one}
    return lambda table: table.rename_columns(
        [names.get(name, name) for name in table.column_names]
    )


def renamed(one: str, other: str) -> Change:
    """A column under another name."""
    return lambda table: table.rename_columns(
        [other if name == one else name for name in table.column_names]
    )


def repeated(rows: Sequence[int]) -> Change:
    """Some rows once more, at the end."""
    return lambda table: pa.concat_tables([table, table.take(list(rows))])
