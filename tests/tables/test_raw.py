"""Raw tables: each row of a file is in a column, rejected with a reason, or blank."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tables.conftest import write

from model_loop.datasets.declaration import DialectDeclaration
from model_loop.tables import delimited, lines
from model_loop.tables.raw import RawTable, read_raw
from model_loop.tables.refused import TableFileError


def raw(folder: Path, content: str | bytes, **options: object) -> RawTable:
    """Read a text as it stands."""
    return read_raw([write(folder, content)], **options)  # type: ignore[arg-type]


def rows_of(table: RawTable) -> list[tuple[object, ...]]:
    """All accepted rows."""
    return list(zip(*(column.to_pylist() for column in table.columns.values()), strict=True))


def refused(folder: Path, content: str | bytes, **options: object) -> TableFileError:
    """The error that a text is refused with."""
    with pytest.raises(TableFileError) as caught:
        raw(folder, content, **options)
    return caught.value


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_in_all_rows(tmp_path: Path, delimiter: str) -> None:
    """Another sign that stands in cells is none."""
    other = ";" if delimiter == "," else ","
    text = "".join(
        f"{delimiter.join(row)}\n" for row in (["a", f"b{other}c"], ["1", f"2{other}5"], ["3", "4"])
    )
    table = raw(tmp_path, text)
    assert table.formats[0].delimiter == delimiter
    assert rows_of(table) == [("1", f"2{other}5"), ("3", "4")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_any_line_end(tmp_path: Path, end: str) -> None:
    """Also that of Excel for Mac, and without one behind the last row."""
    table = raw(tmp_path, end.join(["a,b", "1,2", "3,4"]))
    assert (rows_of(table), table.rejected) == ([("1", "2"), ("3", "4")], ())


def test_mixed_line_ends(tmp_path: Path) -> None:
    """Programs that append to a file have ends of their own."""
    table = raw(tmp_path, "a,b\r\n1,2\n3,4\r5,6\r\n")
    assert rows_of(table) == [("1", "2"), ("3", "4"), ("5", "6")]


def test_quoted_cells(tmp_path: Path) -> None:
    """Delimiters, line ends and quotes in quotes are text."""
    table = raw(tmp_path, 'a,b\n"1,2","x\ny"\n"say ""no""",z\n')
    assert rows_of(table) == [("1,2", "x\ny"), ('say "no"', "z")]
    assert table.row_number.tolist() == [1, 2]


def test_a_row_of_another_width_is_rejected_alone(tmp_path: Path) -> None:
    """With its number, and without a shift of columns in any other."""
    table = raw(tmp_path, "a,b\n1,2\n3\n4,5,6\n7,8\n9,10\n11,12\n")
    assert rows_of(table) == [("1", "2"), ("7", "8"), ("9", "10"), ("11", "12")]
    assert [(row.row, row.reason) for row in table.rejected] == [
        (2, "the row has 1 field, and the header 2"),
        (3, "the row has 3 fields, and the header 2"),
    ]
    assert table.row_number.tolist() == [1, 4, 5, 6]


def test_a_file_whose_rows_do_not_fit_is_refused(tmp_path: Path) -> None:
    """A header that lacks a column is no reason to reject every row."""
    assert refused(tmp_path, "a,b\n1,2,3\n4,5,6\n").code == "rows_of_other_width"


def test_blank_rows_are_counted_and_have_no_number(tmp_path: Path) -> None:
    """Also rows of empty cells alone, as spreadsheets leave them below a table."""
    table = raw(tmp_path, "a,b\n\n1,2\n,\n  \n3,4\n,\n")
    assert rows_of(table) == [("1", "2"), ("3", "4")]
    assert (table.row_number.tolist(), table.rejected) == ([1, 2], ())
    assert table.blank_rows == 3


def test_empty_columns_at_the_end_are_dropped(tmp_path: Path) -> None:
    """A cell in one of them rejects its row: nobody knows its name."""
    table = raw(tmp_path, "a,b,,\n1,2,,\n3,4,5,\n6,7,,\n")
    assert (table.names, rows_of(table)) == (("a", "b"), [("1", "2"), ("6", "7")])
    assert [row.row for row in table.rejected] == [2]


def test_names_stay_as_they_are(tmp_path: Path) -> None:
    """Spaces, dots, brackets, and letters beyond ASCII; one without a name is called by number."""
    names = ["", "trip distance [miles]", "a.b", "[/h]", "Größe (m²)", 'x "y"', "日付"]
    text = io.StringIO()
    csv.writer(text).writerows([names, [str(number) for number in range(7)]])
    assert raw(tmp_path, text.getvalue()).names == ("column_1", *names[1:])


def test_lines_above_the_header_are_left_out(tmp_path: Path) -> None:
    """A title and comments hold no delimiter; they are said, and no row."""
    rows = "a,b\n" + "1,2\n" * 5
    for title in ("Rentals of 2024\n\n", "# made by hand\n#\n"):
        table = raw(tmp_path, title + rows)
        assert (table.names, table.rows, table.rejected) == (("a", "b"), 5, ())
        assert [note.code for note in table.notes] == ["lines_above_header"]
    assert raw(tmp_path, "#a,b\n" + "1,2\n" * 5).names == ("#a", "b")
    assert raw(tmp_path, "the a;b\n" + "1,5;2\n" * 5).names == ("the a", "b")
    assert refused(tmp_path, "a\n" + "1,2\n" * 5).code == "rows_of_other_width"


def test_a_name_that_comes_twice_gets_a_number(tmp_path: Path) -> None:
    """One that no other column has, and it is said."""
    table = raw(tmp_path, "a,b,a,a_2,a\n1,2,3,4,5\n")
    assert table.names == ("a", "b", "a_3", "a_2", "a_4")
    assert rows_of(table) == [("1", "2", "3", "4", "5")]
    assert [note.code for note in table.notes] == ["column_twice"]
    assert "a_3, a_4" in table.notes[0].message


@pytest.mark.parametrize(
    "above",
    [
        "Sales of 2024;;;\n",
        ";;;\nSales;;;\nof;2024;;\n",
        "Who;;How much;\n",
        "Sales of 2024\n\nWho;;How much;\n",
    ],
)
def test_sparse_rows_above_the_header_are_left_out(tmp_path: Path, above: str) -> None:
    """Titles of spreadsheets, and the names of groups of columns."""
    table = raw(tmp_path, above + "shop;town;sold;price\n" + "a;b;1;2,5\n" * 5)
    assert (table.names, table.rows, table.rejected) == (("shop", "town", "sold", "price"), 5, ())
    assert [note.code for note in table.notes] == ["lines_above_header"]


def test_a_sparse_header_is_one(tmp_path: Path) -> None:
    """Where numbers stand below it, or none at all, no row below it is taken for the header."""
    assert refused(tmp_path, "a,,,\n1,2,3,4\n5,6,7,8\n").code == "rows_of_other_width"
    assert raw(tmp_path, ",,a\nx,y,z\nx,y,z\n").names == ("column_1", "column_2", "a")


@pytest.mark.parametrize("units", ["[-];[kW];[°C]", "-;kW;°C", ";kWh;", "(text);(1/s);"])
def test_units_below_the_header_are_no_row(tmp_path: Path, units: str) -> None:
    """They are said, and rows are counted from the first one of data."""
    content = f"mode;power;temp\n{units}\nauto;1,5;20\nhand;2,5;21\n"
    table = raw(tmp_path, content)
    if units == ";kWh;":
        # One unit alone may be a word for a missing value.
        assert table.rows == 3
        return
    assert rows_of(table) == [("auto", "1,5", "20"), ("hand", "2,5", "21")]
    assert [note.code for note in table.notes] == ["units_row"]
    assert table.row_number.tolist() == [1, 2]


@pytest.mark.parametrize("first", ["a;n.a.;n.a.", "km;1;2", "north;south;east"])
def test_a_first_row_without_units_is_data(tmp_path: Path, first: str) -> None:
    """Missing words, numbers, and words that are no units."""
    assert raw(tmp_path, f"x;y;z\n{first}\nb;1;2\n").rows == 2


def test_a_header_in_the_middle_is_rejected(tmp_path: Path) -> None:
    """Files that were put together repeat it; a row with one of its names is data."""
    table = raw(tmp_path, 'a,b\n1,2\na,b\na,3\n"a",b\n4,5\n')
    assert rows_of(table) == [("1", "2"), ("a", "3"), ("4", "5")]
    assert [(row.row, row.reason) for row in table.rejected] == [
        (2, "the row repeats the header"),
        (4, "the row repeats the header"),
    ]


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    """Whether it has a header or not."""
    assert refused(tmp_path, "a,b\n").code == "no_rows"
    assert refused(tmp_path, "").code == "no_rows"


@pytest.mark.parametrize("mark", ["<<<<<<< HEAD", ">>>>>>> branch"])
def test_marks_of_a_conflict_are_refused(tmp_path: Path, mark: str) -> None:
    """The row is named."""
    error = refused(tmp_path, f"a,b\n1,2\n{mark}\n3,4\n")
    assert error.code == "conflict_markers"
    assert "row 2" in str(error)


@pytest.mark.parametrize(
    "text", ["a;b\n1;2\n3;4\n", "a\n1;2\n3;4\n", "a^b\n1^2\n3^4\n", "a b\n1 2\n3 4\n"]
)
def test_rows_are_not_read_as_one_column(tmp_path: Path, text: str) -> None:
    """Whatever delimiter is declared or usual, one that stands in each row is named."""
    error = refused(tmp_path, text, dialect=DialectDeclaration(delimiter=","))
    assert error.code == "one_column_read"


def test_a_file_of_one_column_is_read(tmp_path: Path) -> None:
    """Where no delimiter is in all of its rows."""
    table = raw(tmp_path, "when\n2024-01-15 08:30:00\n2024-01-16 08:30:00\n")
    assert table.rows == 2


def test_a_file_without_a_header(tmp_path: Path) -> None:
    """Columns are called by their numbers; undeclared, the first row is doubted."""
    table = raw(tmp_path, "1,2\n3,4\n", dialect=DialectDeclaration(header=False))
    assert (table.names, table.rows) == (("column_1", "column_2"), 2)
    assert [note.code for note in raw(tmp_path, "1,2\n3,4\n").notes] == ["header_of_numbers"]


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("cp1252", "cp1252"),
    ],
)
def test_the_encoding_is_found(tmp_path: Path, encoding: str, shown: str) -> None:
    """By its mark, or by every byte; what is only assumed is said."""
    text = "\ufeff" * (encoding == "utf-16-be") + "Straße,n\nMünchen,1\nKöln,2\n"
    table = raw(tmp_path, text.encode(encoding))
    assert table.names == ("Straße", "n")
    assert rows_of(table) == [("München", "1"), ("Köln", "2")]
    assert table.formats[0].encoding == shown
    assert [note.code for note in table.notes] == ["encoding_assumed"] * (encoding == "cp1252")


def test_the_byte_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    """By its number and line, wherever the file is cut into blocks."""
    text = "n,a\n" + "1,x\n" * 2_000_000 + "2,ü\n"
    (note,) = raw(tmp_path, text.encode("cp1252")).notes
    assert "byte 8,000,007 (0xfc, line 2,000,002)" in note.message


def test_a_declared_encoding_wins(tmp_path: Path) -> None:
    """It has to fit, though."""
    table = raw(tmp_path, "a,b\nü,1\n".encode("cp850"), encoding="cp850")
    assert rows_of(table) == [("ü", "1")]
    error = refused(tmp_path, "a,b\nü,1\n".encode("cp1252"), encoding="utf-8")
    assert (error.code, "line 2" in str(error)) == ("encoding", True)
    assert refused(tmp_path, "a,b\n", encoding="klingon").code == "encoding"
    assert refused(tmp_path, "a,b\n1,2\n".encode("utf-16-le")).code == "encoding"


def test_a_text_that_nothing_fits_is_refused(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, and of which cp1252 has no character."""
    assert refused(tmp_path, b"a,b\n\x81\xff,1\n").code == "encoding"


def test_packed_files(tmp_path: Path) -> None:
    """Of gzip, and of zip with one file in it."""
    text = "a,b\n1,2\n"
    packed = write(tmp_path, gzip.compress(text.encode()), "a.csv.gz")
    archive = tmp_path / "b.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("folder/b.csv", text)
        file.writestr("__MACOSX/folder/._b.csv", "x")
    for path, compression in ((packed, "gzip"), (str(archive), "zip")):
        table = read_raw([path])
        assert (rows_of(table), table.formats[0].compression) == ([("1", "2")], compression)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("c.csv", text)
    with pytest.raises(TableFileError, match=r"holds 2 files"):
        read_raw([str(archive)])
    with pytest.raises(TableFileError, match="cut off"):
        read_raw([write(tmp_path, gzip.compress(text.encode() * 1000)[:-20], "c.gz")])


@pytest.mark.parametrize(
    "begin",
    [
        b"\xd0\xcf\x11\xe0",
        b"version https://git-lfs.github.com/spec/v1\n",
        b"<!DOCTYPE html>",
        b"[ {",
    ],
)
def test_other_kinds_of_files_are_named(tmp_path: Path, begin: bytes) -> None:
    """Each with what to do."""
    assert refused(tmp_path, begin + b'"a": 1}]\n').code == "no_table"


def test_json_lines(tmp_path: Path) -> None:
    """Values are text as it is written; a key that a row lacks is null there."""
    table = raw(tmp_path, '{"a": 1.50, "b": "x"}\nno\n{"a": true, "c": null}\n\n{"b": [1, 2]}\n')
    assert table.names == ("a", "b", "c")
    assert rows_of(table) == [("1.50", "x", None), ("true", None, None), (None, "[1, 2]", None)]
    assert [row.row for row in table.rejected] == [2]
    assert table.row_number.tolist() == [1, 3, 4]


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_typed_files(tmp_path: Path, kind: str) -> None:
    """Views and codes are read as the text that they stand for."""
    table = pa.table(
        {
            "n": pa.array([1, 2**60, None]),
            "text": pa.array(["a", "b", None], pa.string_view()),
            "code": pa.array(["x", "y", "x"]).dictionary_encode(),
        }
    )
    path = tmp_path / "a.data"
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        new = pyarrow.ipc.new_file if kind == "file" else pyarrow.ipc.new_stream
        with new(path, table.schema) as writer:
            writer.write_table(table)
    found = read_raw([str(path)])
    assert rows_of(found) == [(1, "a", "x"), (2**60, "b", "y"), (None, None, "x")]
    assert found.columns["text"].type == pa.string()
    assert found.row_number.tolist() == [1, 2, 3]


def test_files_lead_back_to_each_row(tmp_path: Path) -> None:
    """By place of the file and number in it; columns may stand in another order."""
    files = [write(tmp_path, "a,b\n1,2\n", "1.csv"), write(tmp_path, "b,a\n4,3\n6,5\n", "2.csv")]
    table = read_raw(files)
    assert rows_of(table) == [("1", "2"), ("3", "4"), ("5", "6")]
    assert table.file_of_row.tolist() == [0, 1, 1]
    assert table.row_number.tolist() == [1, 1, 2]
    assert len(table.formats) == 2


def test_files_of_other_columns_are_refused(tmp_path: Path) -> None:
    """The column is named, whichever file lacks it."""
    first, second = write(tmp_path, "a,b\n1,2\n", "1.csv"), write(tmp_path, "a\n1\n", "2.csv")
    for files, rule in (((first, second), "lacks"), ((second, first), "has the column")):
        with pytest.raises(TableFileError, match=f"{rule}.* 'b'") as caught:
            read_raw(files)
        assert caught.value.code == "different_columns"


def test_types_of_files_are_put_together(tmp_path: Path) -> None:
    """A column of whole numbers in one month and of floats in another is one of floats."""
    for name, column in (("1", pa.array([1, 2])), ("2", pa.array([1.5, None]))):
        pq.write_table(pa.table({"a": column}), tmp_path / name)
    table = read_raw([str(tmp_path / "1"), str(tmp_path / "2")])
    assert table.columns["a"].to_pylist() == [1, 2, 1.5, None]
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "2")
    with pytest.raises(TableFileError, match="has a type in one file"):
        read_raw([str(tmp_path / "1"), str(tmp_path / "2")])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Like a folder, and no file at all."""
    for files in ([str(tmp_path / "none.csv")], [str(tmp_path)], []):
        with pytest.raises(TableFileError) as caught:
            read_raw(files)
        assert caught.value.code == "missing_file"


#: Without line ends: where quotes stand beside them, a row may be read as several.
_CELL = st.text("ab,\"'é 1", max_size=4)
_TABLES = st.lists(st.lists(_CELL, min_size=3, max_size=3), min_size=1, max_size=30)


@settings(max_examples=150, deadline=None)
@given(rows=_TABLES, block=st.sampled_from([7, 40, 10_000]), quoting=st.sampled_from([0, 1]))
def test_what_a_writer_of_csv_writes_is_read(
    rows: list[list[str]], block: int, quoting: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the cells hold, wherever a block ends: but for rows that are blank."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=quoting).writerows([["x", "y", "z"], *rows])  # type: ignore[arg-type]
    folder = tmp_path_factory.mktemp("csv")
    wanted = [tuple(row) for row in rows if any(row)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        if not wanted:
            assert refused(folder, text.getvalue()).code == "no_rows"
            return
        table = raw(folder, text.getvalue(), dialect=DialectDeclaration(delimiter=","))
    # A first row such as "a" above numbers is told as a row of units.
    units = [note for note in table.notes if note.code == "units_row"]
    assert (rows_of(table), table.rejected) == (wanted[len(units) :], ())


def test_a_second_count_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the fast parser see other rows, they are read one by one."""
    used = []

    def other(text: bytes, *_: object) -> None:
        used.append(text)

    monkeypatch.setattr(delimited, "_arrow", other)
    table = raw(tmp_path, 'a,b\n1,"x\ny"\n3\n5,6\n7,8\n')
    assert rows_of(table) == [("1", "x\ny"), ("5", "6"), ("7", "8")]
    assert [row.row for row in table.rejected] == [2]
    assert used


def test_arrow_and_lines_count_the_same(tmp_path: Path) -> None:
    """A block in which they do not is the exception: nothing of these is read singly."""
    assert delimited._arrow(b"1,2\n\n3,4", ",", 2, 2, (0, 1)) is not None
    assert delimited._arrow(b"1,2\n\n3,4", ",", 2, 3, (0, 1)) is None
    assert delimited._arrow(b"1,2\n3", ",", 2, 2, (0, 1)) is None
    assert np.all(raw(tmp_path, "a,b\n1,2\n").row_number == 1)
