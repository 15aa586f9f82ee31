"""Files without the rows of an identity: every other byte as it was, or nothing changed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_loop.datasets.registry import get_dataset
from model_loop.erasure.files import count_cells, count_rows, rewrite_without
from model_loop.erasure.identity import Identity, read_identity
from model_loop.errors import InvalidInputError, StoredObjectError


def identity(*keys: str, ids: tuple[str, ...] = ()) -> Identity:
    """An identity among rented bikes."""
    return read_identity(get_dataset("bikes"), keys, ids)


CSV = b'hr,person,note\r\n8,Ann,"two\nlines, ""quoted"""\r\n8.0,Bob,\xe4\r\n9,Ann\r\n\r\n8, Ann ,x'


def test_texts_stay_byte_for_byte(tmp_path: Path) -> None:
    """Quoted ends of lines, bytes that are no characters, short rows and a missing last end."""
    path = tmp_path / "rows.csv"
    path.write_bytes(CSV)
    path.chmod(0o640)
    ann = identity("hr=8", "person=Ann")
    assert count_rows(path, ann) == 2
    assert rewrite_without(path, ann) == 2
    assert path.read_bytes() == b"hr,person,note\r\n8.0,Bob,\xe4\r\n9,Ann\r\n\r\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert count_rows(path, ann) == 0
    assert rewrite_without(path, ann) == 0
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    """A name is found as it is written, whatever its bytes are."""
    path = tmp_path / "rows.csv"
    path.write_bytes("person;hr\nMüller;8\nMeier;8\n".encode(encoding))
    assert rewrite_without(path, identity("person=Müller")) == 1
    assert path.read_bytes().decode(encoding) == "person;hr\nMeier;8\n"


def test_json_lines(tmp_path: Path) -> None:
    """Lines that are no objects stay; numbers and texts of the same number are one value."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"hr": 8}\n{"hr": "8"}\nbroken\n{"hr": 9}\n{"other": 8}\n')
    assert rewrite_without(path, identity("hr=8")) == 2
    assert path.read_text() == 'broken\n{"hr": 9}\n{"other": 8}\n'


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_typed_files(tmp_path: Path, ending: str) -> None:
    """With their types and metadata."""
    path = tmp_path / f"rows.{ending}"
    table = pa.table(
        {"hr": pa.array([8, 9, None, 8], pa.int8()), "at": pd.date_range("2024", periods=4)}
    )
    if ending == "parquet":
        pq.write_table(table, path, row_group_size=2)
    else:
        with pa.ipc.new_file(str(path), table.schema) as out:
            out.write_table(table)
    assert rewrite_without(path, identity("hr=8")) == 2
    left = pd.read_parquet(path) if ending == "parquet" else pd.read_feather(path)
    assert left["hr"].isna().tolist() == [False, True]
    if ending == "parquet":
        assert pq.read_schema(path) == table.schema


def test_values_are_compared_as_their_column_says(tmp_path: Path) -> None:
    """Times in any form, numbers as numbers, and ids of people as texts: 007 is not 7."""
    path = tmp_path / "rows.csv"
    path.write_text(
        "dteday,person,hr\n2012-06-30,007,8\n2012-06-30T00:00:00,7,08\n2012-07-01,007,8\n"
    )
    assert count_rows(path, identity("dteday=2012-06-30")) == 2
    assert count_rows(path, identity("person=007")) == 2
    assert count_rows(path, identity("hr=8.0")) == 3
    assert count_rows(path, identity("dteday=2012-06-30", "person=7")) == 1
    with pytest.raises(ValueError, match="names no column of the identity"):
        count_rows(path, identity("hr=8", "nobody=1"))


LARGE = 1_234_567_890_123_456_788


def test_long_numbers_are_not_their_neighbours(tmp_path: Path) -> None:
    """Ids of nineteen digits are compared as whole numbers; floating-point ones are refused."""
    ids = [LARGE, LARGE + 1, 5]
    path, texts, floats = (tmp_path / name for name in ("a.parquet", "a.csv", "b.parquet"))
    pq.write_table(pa.table({"customer": ids}), path)
    texts.write_text("customer,hr\n" + "".join(f"{one},8\n" for one in ids))
    wanted = identity(f"customer={LARGE + 1}")
    assert count_rows(path, wanted) == count_rows(texts, wanted) == 1
    assert rewrite_without(path, wanted) == 1
    assert pq.read_table(path)["customer"].to_pylist() == [LARGE, 5]
    pq.write_table(pa.table({"customer": [float(one) for one in ids]}), floats)
    with pytest.raises(InvalidInputError, match="do not tell it from its neighbours"):
        count_rows(floats, wanted)


def test_headers_are_read_as_the_loop_reads_them(tmp_path: Path) -> None:
    """Blanks around names do not count; a title above the header is said, and counts as no row."""
    path = tmp_path / "rows.csv"
    path.write_text("hr, person\n8,Ann\n")
    assert count_rows(path, identity("person=Ann")) == 1
    path.write_text("Rentals\nhr,person\n8,Ann\n")
    with pytest.raises(ValueError, match="names no column of the identity"):
        count_rows(path, identity("person=Ann"))


def test_chunks_without_a_header(tmp_path: Path) -> None:
    """Values are looked for in any cell: more may be scored again than has to be, never less."""
    path = tmp_path / "part.csv"
    path.write_text("8;Ann\n9;Bob\n9;Ann\n")
    assert count_cells(path, identity("hr=8", "person=Ann")) == 1
    assert count_cells(path, identity("person=Ann")) == 2
    assert count_cells(path, identity(ids=("Bob",))) == 1


def test_lines_are_counted_by_the_delimiter_of_the_file(tmp_path: Path) -> None:
    """A quoted line end in a later field does not end a row."""
    path = tmp_path / "rows.csv"
    path.write_text('person;note\nAnn;"two\nlines"\nBob;"also\ntwo"\n')
    assert rewrite_without(path, identity("person=Ann")) == 1
    assert path.read_text() == 'person;note\nBob;"also\ntwo"\n'


def test_predictions(tmp_path: Path) -> None:
    """Rows are found by their ids too."""
    path = tmp_path / "rows.csv"
    path.write_text("prediction_id,hr\nabc,1\ndef,2\n")
    assert count_rows(path, identity(ids=("abc",))) == 1
    assert count_rows(path, identity("hr=2", ids=("abc",))) == 2


def test_packed_files_are_searched(tmp_path: Path) -> None:
    """They are counted as they would be unpacked."""
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"hr\n8\n9\n"))
    assert count_rows(path, identity("hr=8")) == 1


def test_a_file_that_does_not_add_up_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ways of counting have to agree before it takes its place."""
    path = tmp_path / "rows.csv"
    path.write_text("hr\n8\n9\n")
    monkeypatch.setattr("model_loop.erasure.files._all_rows", lambda *_: 2)
    with pytest.raises(StoredObjectError, match="rows"):
        rewrite_without(path, identity("hr=8"))
    assert path.read_text() == "hr\n8\n9\n"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ([], "neither"),
        (["hr"], "COLUMN"),
        (["hr="], "COLUMN"),
        (["hr=8", "hr=9"], "twice"),
        (["hr=morning"], "number"),
        (["dteday=never"], "time"),
    ],
)
def test_identities_that_are_none(keys: list[str], word: str) -> None:
    """Refused before anything is searched."""
    with pytest.raises(InvalidInputError, match=word):
        identity(*keys)
