"""A small file takes little memory: each bound holds, and what is just within it is read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_loop.errors import StoredObjectError
from model_loop.objects import limits, tables
from model_loop.objects.limits import (
    bounded_archive,
    bounded_file,
    require_array,
)
from model_loop.objects.tables import bounded_table

WHAT = "The file"


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return an archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    """Return an array in NumPy's format."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def members(data: bytes) -> dict[str, bytes]:
    """Return what an archive holds."""
    with zipfile.ZipFile(io.BytesIO(data)) as stored:
        return {name: stored.read(name) for name in stored.namelist()}


def test_an_archive_that_is_not_compressed_is_itself() -> None:
    """The same object, at the place where it was; nothing is copied."""
    data = archive({"a.npy": npy(np.arange(5)), "b": b"text"})
    assert bounded_archive(data, WHAT) is data
    file = io.BytesIO(data)
    file.seek(7)
    assert bounded_file(file, WHAT) is file
    assert file.tell() == 7


def test_a_compressed_archive_is_unfolded() -> None:
    """All members as they are, whichever of them is compressed, and none compressed any more."""
    content = {"a.npy": npy(np.zeros(5_000)), "b": b"text" * 1_000, "c": b""}
    mixed = io.BytesIO(archive(content, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(mixed, "a", zipfile.ZIP_STORED) as out:
        out.writestr("d", b"plain")
    found = bounded_archive(mixed.getvalue(), WHAT)
    assert members(found) == {**content, "d": b"plain"}
    with zipfile.ZipFile(io.BytesIO(found)) as stored:
        assert {one.compress_type for one in stored.infolist()} == {zipfile.ZIP_STORED}
    # It is read from its beginning.
    assert bounded_file(mixed, WHAT).read() == found


def test_members_unfold_to_no_more_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them together: so many times the archive, and so many bytes besides."""
    data = archive({"a": bytes(6_000), "b": bytes(4_000)}, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(limits, "_TIMES", 2)
    monkeypatch.setattr(limits, "_BESIDES", 10_000 - 2 * len(data))
    assert members(bounded_archive(data, WHAT)) == {"a": bytes(6_000), "b": bytes(4_000)}
    monkeypatch.setattr(limits, "_BESIDES", 9_999 - 2 * len(data))
    with pytest.raises(StoredObjectError, match="The file has members that unfold to too much"):
        bounded_archive(data, WHAT)


def test_members_that_lie_upon_each_other() -> None:
    """Two names in the directory for the same bytes: together they say more than there is."""
    data = archive({"a": bytes(3_000)})
    first = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = bytearray(data[first:end])
    entry[-1:] = b"b"
    directory = data[first:end] + bytes(entry)
    tail = bytearray(data[end:])
    tail[8:12] = (2).to_bytes(2, "little") * 2
    tail[12:16] = len(directory).to_bytes(4, "little")
    with pytest.raises(StoredObjectError, match="unfold to too much"):
        bounded_archive(data[:first] + directory + bytes(tail), WHAT)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_to_compress_are_refused(method: int) -> None:
    """They unfold to far more, and nothing here writes them."""
    with pytest.raises(StoredObjectError, match="unfold to too much"):
        bounded_archive(archive({"a": b"x", "b": b"y"}, method), WHAT)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused() -> None:
    """One reader takes the first, and another one the last."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("a", b"1")
        out.writestr("a", b"2")
    with pytest.raises(StoredObjectError, match="The file has a name twice"):
        bounded_archive(buffer.getvalue(), WHAT)


@pytest.mark.parametrize("change", [lambda data: data[:-30], lambda _: b"", lambda _: b"PK"])
def test_what_is_no_archive_is_refused(change: Callable[[bytes], bytes]) -> None:
    """With our own error, and the file is left where it was."""
    file = io.BytesIO(change(archive({"a": b"x" * 100})))
    with pytest.raises(StoredObjectError, match=r"^The file cannot be read \("):
        bounded_file(file, WHAT)
    assert file.tell() == 0


def test_a_damaged_member_is_refused() -> None:
    """Its bytes are others than those whose sum was kept."""
    data = bytearray(archive({"a": bytes(range(250)) * 20}, zipfile.ZIP_DEFLATED))
    data[60] ^= 0xFF
    with pytest.raises(StoredObjectError, match="cannot be read"):
        bounded_archive(bytes(data), WHAT)


def test_no_more_of_an_array_is_read_than_its_header() -> None:
    """What is behind it may be large, and is looked at by its reader."""
    data = bytearray(archive({"a.npy": npy(np.zeros(20_000))}))
    data[100_000] ^= 0xFF
    assert bounded_archive(bytes(data), WHAT) == data


def test_a_compressed_member_of_the_same_size_is_unfolded() -> None:
    """Its way to be compressed tells it, and not its size alone."""
    random = np.random.default_rng(0).bytes(300)
    for zeros in range(40):
        content = random + bytes(zeros)
        data = archive({"a": content}, zipfile.ZIP_DEFLATED)
        with zipfile.ZipFile(io.BytesIO(data)) as stored:
            (info,) = stored.infolist()
        if info.compress_size == info.file_size:
            break
    assert info.compress_size == info.file_size
    found = bounded_archive(data, WHAT)
    assert members(found) == {"a": content}
    with zipfile.ZipFile(io.BytesIO(found)) as stored:
        assert stored.infolist()[0].compress_type == zipfile.ZIP_STORED


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_arrays_of_an_archive_are_as_large_as_they_say(method: int) -> None:
    """Every one of them, wherever it stands, and nothing that is no array."""
    right, wrong = npy(np.arange(4_000)), npy(np.arange(4_000))[:-8]
    assert bounded_archive(archive({"a.npy": right, "b.bin": wrong}, method), WHAT)
    for content in ({"a.npy": right, "b.npy": wrong}, {"b.npy": wrong, "c": b""}):
        with pytest.raises(StoredObjectError, match="another size"):
            bounded_archive(archive(content, method), WHAT)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(7),
        np.zeros((3, 4, 2), dtype=np.int16, order="F"),
        np.float64(3),
        np.zeros((0, 5)),
        np.zeros((5, 0), dtype="U0"),
        np.zeros(3, dtype=[("a", "<i4"), ("b", "<f8")]),
    ],
)
def test_arrays_say_their_size(array: Any) -> None:
    """Of any shape and kind; a byte more or less is another size."""
    data = npy(array)
    require_array(data, len(data), WHAT)
    require_array(data[:128], len(data), WHAT)
    for size in (len(data) - 1, len(data) + 1):
        with pytest.raises(StoredObjectError, match="The file does not match its header"):
            require_array(data, size, WHAT)


def header(shape: tuple[int, ...], descr: str = "<f8", version: int = 1) -> bytes:
    """Return a header alone."""
    buffer = io.BytesIO()
    about = {"descr": descr, "fortran_order": False, "shape": shape}
    write = {
        1: np.lib.format.write_array_header_1_0,
        2: np.lib.format.write_array_header_2_0,
    }[version]
    write(buffer, about)
    return buffer.getvalue()


def test_headers_of_both_versions_are_read() -> None:
    """The later ones, too."""
    for version in (1, 2):
        data = header((3,), version=version) + bytes(24)
        require_array(data, len(data), WHAT)
        with pytest.raises(StoredObjectError, match="another size"):
            require_array(data, len(data) - 8, WHAT)


@pytest.mark.parametrize(
    ("shape", "descr", "size"),
    [
        ((10**9,), "<U0", 0),
        ((1,), "<U0", 0),
        ((-2, -4), "<f8", 64),
        ((-1, 0), "<f8", 0),
        ((3,), "<V0", 0),
    ],
)
def test_no_room_is_made_for_what_has_no_bytes(
    shape: tuple[int, ...], descr: str, size: int
) -> None:
    """Any number of empty values, or of less than none, would agree with the size of a file."""
    data = header(shape, descr)
    with pytest.raises(StoredObjectError, match="does not match its header"):
        require_array(data, len(data) + size, WHAT)


@pytest.mark.parametrize("data", [b"", b"PK", b"\x93NUMPY\x01\x00\x04\x00{}{}", npy(1)[:30]])
def test_what_is_no_array_is_refused(data: bytes) -> None:
    """With our own error."""
    with pytest.raises(StoredObjectError, match=r"^The file holds no array \("):
        require_array(data, len(data), WHAT)


def test_a_header_is_not_longer_than_it_may_be() -> None:
    """What is behind the beginning is not looked at."""
    data = npy(np.arange(3_000))
    require_array(data[: limits._HEADER], len(data), WHAT)
    require_array(data, len(data), WHAT)


def parquet(table: pa.Table, **settings: Any) -> bytes:
    """Return a table as Parquet."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **settings)
    return buffer.getvalue()


def test_tables_are_read_as_they_were_written() -> None:
    """Numbers, texts, times and nothing, of several groups of rows, under both ways to compress."""
    table = pa.table(
        {
            "number": pa.array([1.5, None, 3.0] * 20),
            "text": pa.array(["a", None, "äöü"] * 20),
            "large": pa.array(["x", "y", None] * 20, pa.large_string()),
            "bytes": pa.array([b"1", None, b""] * 20),
            "time": pa.array([1, 2, None] * 20, pa.timestamp("us")),
            "flag": pa.array([True, None, False] * 20),
            "kind": pa.array(["p", "q", "p"] * 20).dictionary_encode(),
        }
    )
    for settings in ({"compression": "snappy"}, {"compression": "none"}, {"row_group_size": 7}):
        found = bounded_table(parquet(table, **settings), WHAT)
        assert found.schema == table.schema
        assert found.equals(table)
    empty = table.slice(0, 0)
    assert bounded_table(parquet(empty), WHAT).equals(empty)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "brotli"])
def test_other_compressions_of_a_column_are_refused(compression: str) -> None:
    """One column of many, in a later group of rows, is enough."""
    table = pa.table({"a": [1, 2], "b": [3, 4]})
    mixed = {"a": "snappy", "b": compression}
    with pytest.raises(StoredObjectError, match="The file has columns that are compressed"):
        bounded_table(parquet(table, compression=mixed, row_group_size=1), WHAT)


def test_a_table_holds_no_more_values_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its columns together, those of wide values by their width."""
    table = pa.table({"a": range(30), "b": [True] * 30, "c": [b"0123456789abcdef"] * 30})
    table = table.set_column(2, "c", table["c"].cast(pa.binary(16)))
    data = parquet(table, row_group_size=10)
    monkeypatch.setattr(tables, "_VALUES_OF_A_BYTE", 0)
    words = 30 * (1 + 1 + 2)
    monkeypatch.setattr(tables, "_VALUES", words)
    assert bounded_table(data, WHAT).equals(table)
    monkeypatch.setattr(tables, "_VALUES", words - 1)
    with pytest.raises(StoredObjectError, match="The file has far more values than bytes"):
        bounded_table(data, WHAT)
    # A byte of the file is good for some more.
    monkeypatch.setattr(tables, "_VALUES_OF_A_BYTE", 1)
    monkeypatch.setattr(tables, "_VALUES", words - len(data))
    assert bounded_table(data, WHAT).equals(table)
    monkeypatch.setattr(tables, "_VALUES", words - len(data) - 1)
    with pytest.raises(StoredObjectError, match="far more values than bytes"):
        bounded_table(data, WHAT)


def test_values_of_lists_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be many in a row."""
    data = parquet(pa.table({"a": [[1, 2, 3], [4] * 50]}))
    monkeypatch.setattr(tables, "_VALUES_OF_A_BYTE", 0)
    monkeypatch.setattr(tables, "_VALUES", 52)
    with pytest.raises(StoredObjectError, match="far more values than bytes"):
        bounded_table(data, WHAT)
    monkeypatch.setattr(tables, "_VALUES", 53)
    assert bounded_table(data, WHAT)["a"].to_pylist() == [[1, 2, 3], [4] * 50]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
def test_texts_are_no_longer_than_they_may_be(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them together, each as often as it is there, of all columns and groups of rows."""
    # The last group of rows holds none.
    texts = ["a" * 10, "b" * 6, None, "a" * 10, None, None, None]
    table = pa.table(
        {"a": pa.array(texts).cast(kind), "b": pa.array(["c" * 4] * 4 + [""] * 3).cast(kind)}
    )
    data = parquet(table, row_group_size=3, store_schema=False)
    expected = bounded_table(data, WHAT)
    assert expected["a"].cast(pa.string()).to_pylist() == texts
    monkeypatch.setattr(tables, "_VALUES_OF_A_BYTE", 0)
    # Eight bytes a value; there are 26 and 16 in the two columns.
    monkeypatch.setattr(tables, "_VALUES", 42 / 8)
    monkeypatch.setattr(tables, "_words", lambda _kind: 0)
    monkeypatch.setattr(tables, "max", lambda *_: 0, raising=False)
    assert bounded_table(data, WHAT).equals(expected)
    monkeypatch.setattr(tables, "_VALUES", 41 / 8)
    with pytest.raises(StoredObjectError, match="texts that are far longer than the file"):
        bounded_table(data, WHAT)


@pytest.mark.parametrize("change", [lambda data: data[:-9], lambda _: b"", lambda _: b"PAR1PAR1"])
def test_what_is_no_table_is_refused(change: Callable[[bytes], bytes]) -> None:
    """With our own error."""
    data = change(parquet(pa.table({"a": [1]})))
    with pytest.raises(StoredObjectError, match=r"^The file cannot be read \("):
        bounded_table(data, WHAT)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (pa.bool_(), 1),
        (pa.int8(), 1),
        (pa.float64(), 1),
        (pa.decimal128(20, 2), 2),
        (pa.binary(17), 3),
        (pa.binary(65), 9),
        (pa.string(), 1),
        (pa.list_(pa.int64()), 1),
    ],
)
def test_words_of_a_value(kind: Any, words: int) -> None:
    """Eight bytes are one, a part of them is one, and what is of any length is one at least."""
    assert tables._words(kind) == words
