"""Values: one meaning of a cell, whatever file or request it comes from."""

from __future__ import annotations

import datetime as dt
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tables.conftest import declared, write

from model_loop.datasets.declaration_types import Kind
from model_loop.datasets.literals import missing_words, number_of
from model_loop.datasets.times import TimeReader
from model_loop.tables.table import read_chunks, read_table
from model_loop.tables.values import (
    ColumnFormat,
    clock_minutes,
    records_to_frame,
    to_values,
)


def values(cells: list[Any], kind: Kind, **changes: Any) -> list[Any]:
    """The values of some cells, with ``!`` for an unreadable one and None for a missing one."""
    found, unreadable = to_values(pa.array(cells), ColumnFormat(kind, **changes))
    return [
        "!" if wrong else None if pd.isna(value) else value
        for value, wrong in zip(found.tolist(), unreadable.tolist(), strict=True)
    ]


def time(cell: Any, **changes: Any) -> str | None:
    """The time of a cell as text."""
    (found,) = values([cell], "time", **changes)
    return found if found in {"!", None} else str(found)


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1", 1),
        (" +1.50 ", 1.5),
        ("-.5e3", -500),
        ("1,234.5", 1234.5),
        ("1,234,567", 1_234_567),
        ("1'234.50", 1234.5),
        ("1\u202f234", 1234),
        ("\u22125", -5),
        ("1,5", "!"),
        ("1,23,456", "!"),
        ("inf", "!"),
        ("1e400", "!"),
        ("0x10", "!"),
        ("12 km", "!"),
        ("NA", None),
        ("", None),
        ("\\N", None),
        ("?", None),
    ],
)
def test_numbers(cell: str, number: object) -> None:
    """Whatever else stands in the column: the fast way and the slow one read the same."""
    assert values([cell], "number") == [number]
    assert values([cell, "1,234.5", "x"], "number")[:1] == [number]


@pytest.mark.parametrize(
    ("cell", "number"),
    [("1,5", 1.5), ("1.234,56", 1234.56), ("1 234,5", 1234.5), ("1.5", "!"), ("0.125", "!")],
)
def test_numbers_with_a_decimal_comma(cell: str, number: object) -> None:
    """A point stands between thousands there, or rejects the row."""
    assert values([cell], "number", decimal=",") == [number]


@pytest.mark.parametrize(
    ("cell", "unit", "number"),
    [
        ("$1,234.50", "$", 1234.5),
        ("-$5", "$", -5),
        ("$-5", "$", -5),
        ("($5.00)", "$", -5),
        ("5 €", "€", 5),
        ("5\u00a0€", "€", 5),
        ("5.00- €", "€", -5),
        ("12.5%", "%", 12.5),
        ("CHF 1'234.50", "CHF", 1234.5),
        ("70 kg", "kg", 70),
        ("70", "kg", 70),
        ("70 g", "kg", "!"),
        ("kg", "kg", "!"),
        ("$5$5", "$", "!"),
        ("(1,234.5)", "", -1234.5),
        ("12-", "", -12),
        ("-12-", "", "!"),
        ("(-12)", "", "!"),
    ],
)
def test_numbers_beside_their_unit(cell: str, unit: str, number: object) -> None:
    """Before or behind it; negative ones as accounts write them; another unit is no number."""
    assert values([cell], "number", unit=unit) == [number]
    read = number_of(cell, unit=unit)
    assert ("!" if read is None else read) == number


def test_declared_numbers_are_missing_however_they_are_written() -> None:
    """Words stay missing beside them, unless a word is declared."""
    missing = missing_words([-200])
    assert values(["-200", "-200.0", "5", "NA", ""], "number", missing=missing) == [
        *(None, None, 5, None, None)
    ]
    assert values([-200, 5], "number", missing=missing) == [None, 5]
    assert values(["-200,0", "1,5"], "number", missing=missing, decimal=",") == [None, 1.5]
    assert values(["NA", "unknown", ""], "category", missing=missing_words(["unknown"])) == [
        *("NA", None, None)
    ]


@pytest.mark.parametrize(
    ("cells", "codes"),
    [
        (["74", "74.0", " 74 ", "007", "a.0"], ["74", "74", "74", "007", "a.0"]),
        ([74, 75], ["74", "75"]),
        ([74.0, None], ["74", None]),
        ([74.5], ["74.5"]),
        ([2**60 + 1], [str(2**60 + 1)]),
        ([decimal.Decimal("74.00")], ["74"]),
        ([True], ["true"]),
    ],
)
def test_a_code_is_one_text(cells: list[Any], codes: list[str | None]) -> None:
    """Written as a number, with a fraction or as text."""
    assert values(cells, "category") == codes


def test_yes_and_no() -> None:
    """In several languages, as numbers, and as such."""
    cells = ["Yes", "FALSE", "1", "0.0", "nein", "oui", "maybe", "NA"]
    assert values(cells, "yes_no") == [True, False, True, False, False, True, "!", None]
    assert values([True, None], "yes_no") == [True, None]
    assert values([1.0, 0.0, 2.0], "yes_no") == [True, False, "!"]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("2024-01-15 08:30:00", "2024-01-15 08:30:00"),
        ("2024-01-15T08:30", "2024-01-15 08:30:00"),
        ("2024-01-15", "2024-01-15 00:00:00"),
        ("2024-01-15 08:30:00.123456789", "2024-01-15 08:30:00.123456"),
        ("2024-01-15 08:30:00+00", "2024-01-15 08:30:00"),
        ("2024-01-15 08:30:00-05", "2024-01-15 13:30:00"),
        ("2024-01-15 08:30:00 UTC", "2024-01-15 08:30:00"),
        ("2024-01-15T08:30:00Z", "2024-01-15 08:30:00"),
        ("2024-02-30", "!"),
        ("2024-01-15 24:00:00", "!"),
        ("2024-01-15 08:60", "!"),
        ("9999-01-01", "!"),
        ("0001-01-01 00:00:00", "!"),
        ("1678-01-01", "1678-01-01 00:00:00"),
        ("15.01.2024", "!"),
    ],
)
def test_iso_times(cell: str, shown: str) -> None:
    """Alone in a column, and beside others that make it a mixed one."""
    assert time(cell) == shown
    beside = values([cell, "2024-01-15 08:30:00 UTC", "x", "2024-01-15"], "time")[0]
    assert str(beside) == shown


@pytest.mark.parametrize(
    ("cell", "time_format", "shown"),
    [
        ("01/15/2024 08:30:00 AM", "%m/%d/%Y %I:%M:%S %p", "2024-01-15 08:30:00"),
        ("1/15/2024 12:30:00 am", "%m/%d/%Y %I:%M:%S %p", "2024-01-15 00:30:00"),
        ("01/15/2024 12:30:00 PM", "%m/%d/%Y %I:%M:%S %p", "2024-01-15 12:30:00"),
        ("01/15/2024 13:30:00 PM", "%m/%d/%Y %I:%M:%S %p", "!"),
        ("15.01.2024", "%d.%m.%Y", "2024-01-15 00:00:00"),
        ("2024-01", "%Y-%m", "2024-01-01 00:00:00"),
        ("20240115", "%Y%m%d", "2024-01-15 00:00:00"),
        ("2024115", "%Y%m%d", "!"),
        ("15-Mär-24", "%d-%b-%y", "2024-03-15 00:00:00"),
        ("3 août 1999", "%d %B %Y", "1999-08-03 00:00:00"),
        ("15-Xyz-24", "%d-%b-%y", "!"),
        ("2024-01-15 08:30", "%d.%m.%Y", "2024-01-15 08:30:00"),
        ("1705307400", "epoch_s", "2024-01-15 08:30:00"),
        ("1705307400.5", "epoch_s", "2024-01-15 08:30:00.500000"),
        (1_705_307_400_000, "epoch_ms", "2024-01-15 08:30:00"),
        (20_240_115, "%Y%m%d", "2024-01-15 00:00:00"),
        ("99999999999999", "epoch_s", "!"),
    ],
)
def test_times_of_a_declared_format(cell: Any, time_format: str, shown: str) -> None:
    """ISO 8601 is read beside it."""
    assert time(cell, time_format=time_format) == shown
    if isinstance(cell, str):
        try:
            scalar = str(TimeReader("UTC", "UTC", time_format)(cell))
        except ValueError:
            scalar = "!"
        assert scalar == shown


def test_times_are_on_the_clocks_of_the_place() -> None:
    """Naive ones are of the zone that they are stored in; a day is the same day everywhere."""
    zones = {"stored_in": "UTC", "time_zone": "America/New_York"}
    assert time("2024-01-15 03:00:00", **zones) == "2024-01-14 22:00:00"
    assert time("2024-01-15", **zones) == "2024-01-15 00:00:00"
    assert time("2024-01-15 08:30:00+01", **zones) == "2024-01-15 02:30:00"
    assert time(dt.date(2024, 1, 15), **zones) == "2024-01-15 00:00:00"
    assert time(pd.Timestamp("2024-07-15 12:00:00"), **zones) == "2024-07-15 08:00:00"
    local = {"stored_in": "Europe/Berlin", "time_zone": "UTC"}
    assert time("2024-10-27 02:30:00", **local) == "2024-10-27 00:30:00"
    assert time("2024-03-31 02:30:00", **local) == "2024-03-31 01:00:00"


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        (pa.array([2**63 - 1, 0], pa.timestamp("ms")), "time", ["!", "1970-01-01 00:00:00"]),
        (pa.array([0], pa.timestamp("ns", "Asia/Tokyo")), "time", ["1970-01-01 00:00:00"]),
        (pa.array([19737], pa.date32()), "time", ["2024-01-15 00:00:00"]),
        (pa.array([1.0], pa.float32()), "time", ["!"]),
        (pa.array([decimal.Decimal("1.25")]), "number", ["1.25"]),
        (pa.array([True, None]), "number", ["1.0", None]),
        (pa.array([float("inf"), float("nan")]), "number", ["!", None]),
        (pa.array([dt.time(8, 30)]), "number", ["510.0"]),
        (pa.array([None, None]), "number", [None, None]),
        (pa.array([pd.Timestamp("2024-01-01")]), "number", ["!"]),
        (pa.array([b"x\xff"]), "text", None),
        (pa.array([[1, 2]]), "text", ["[1, 2]"]),
        (pa.array(["a", "b"]).dictionary_encode(), "category", ["a", "b"]),
    ],
)
def test_typed_columns(column: pa.Array, kind: Kind, expected: list[str | None] | None) -> None:
    """What a type cannot mean is unreadable, and nothing fails."""
    found, unreadable = to_values(column, ColumnFormat(kind))
    shown = [
        "!" if wrong else None if pd.isna(value) else str(value)
        for value, wrong in zip(found.tolist(), unreadable.tolist(), strict=True)
    ]
    assert expected is None or shown == expected


def test_types_of_pandas() -> None:
    """Each type of value has one."""
    column = pa.array(["1", None])
    kinds: dict[Kind, str] = {"number": "float64", "yes_no": "boolean", "time": "datetime64[us]"}
    for kind, dtype in kinds.items():
        assert to_values(column, ColumnFormat(kind))[0].dtype == dtype
    for kind in ("category", "text", "id", "ignored"):
        text, _ = to_values(column, ColumnFormat(kind))
        assert isinstance(text.dtype, pd.StringDtype)
        assert text.isna().tolist() == [False, True]
        assert isinstance(text.to_list()[1], float)


def test_clock_times_in_minutes() -> None:
    """517 is 05:17, 2400 is midnight, and 560 is none."""
    found = clock_minutes(np.array([517, 2400, 0, 560, 2401, -1, np.nan]))
    np.testing.assert_array_equal(found, [317, 0, 0, np.nan, np.nan, np.nan, np.nan])


@given(st.text("0123456789.,-+eE '", max_size=9), st.sampled_from([".", ","]))
@settings(max_examples=300, deadline=None)
def test_one_number_for_a_request_and_a_file(text: str, decimal_sign: str) -> None:
    """The reading of one value and of a column agree."""
    (found,) = values([text], "number", missing=frozenset({""}), decimal=decimal_sign)
    given_text = text.strip()
    number = number_of(given_text, decimal_sign)
    finite = number is not None and np.isfinite(number)
    assert found == (number if finite else None if not given_text else "!")


_TABLE = (
    "number,code,yes,when,day,note\n"
    '1.5,74.0,y,2024-01-15 08:30:00,15.01.2024," a, b"\n'
    "NA,75,n,2024-01-15T08:30Z,16.01.2024,\n"
    '"1,234",,,2024-01-15,,x\n'
)
_TYPES = """
[time]
column = "when"
time_zone = "America/New_York"
[columns.number]
type = "number"
[columns.code]
type = "category"
[columns.yes]
type = "yes_no"
[columns.day]
type = "time"
format = "%d.%m.%Y"
[columns.note]
type = "text"
"""


def test_one_file_read_in_four_ways(tmp_path: Path) -> None:
    """Whole, in chunks, as rows of a request, and from Parquet: the frames are equal."""
    path = write(tmp_path, _TABLE)
    declaration = declared(_TYPES)
    whole = read_table(declaration, [path])
    assert whole.frame["number"].tolist()[::2] == [1.5, 1234]
    chunks = [chunk.frame for chunk in read_chunks(declaration, [path], 1)]
    assert [len(chunk) for chunk in chunks] == [1, 1, 1]
    pd.testing.assert_frame_equal(pd.concat(chunks, ignore_index=True), whole.frame)
    records = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    formats = whole.formats
    for rows in (records, *([record] for record in records)):
        frame, unreadable = records_to_frame(rows, formats)  # type: ignore[arg-type]
        first = 0 if len(rows) > 1 else records.index(rows[0])
        wanted = whole.frame.iloc[first : first + len(rows)].reset_index(drop=True)
        pd.testing.assert_frame_equal(frame, wanted)
        assert unreadable == {}
    typed = whole.frame.assign(code=[74.0, 75.0, np.nan])
    pq.write_table(pa.Table.from_pandas(typed.drop(columns="when")), tmp_path / "a.parquet")
    again = read_table(
        declared(_TYPES.split("[columns", 1)[1].join(["[columns", ""])),
        [str(tmp_path / "a.parquet")],
    )
    pd.testing.assert_frame_equal(again.frame, whole.frame.drop(columns="when"))


def test_rows_of_several_types() -> None:
    """A list of a request may hold text here and a number there."""
    formats = {"n": ColumnFormat("number"), "c": ColumnFormat("category")}
    frame, unreadable = records_to_frame(
        [{"n": 1, "c": 74.0}, {"n": "2", "c": "74"}, {"c": True}, {"n": 10**40, "c": None}], formats
    )
    assert frame["n"].tolist()[:2] == [1, 2]
    assert frame["n"].isna().tolist() == [False, False, True, False]
    assert frame["c"].tolist()[:3] == ["74", "74", "true"]
    assert unreadable == {}
