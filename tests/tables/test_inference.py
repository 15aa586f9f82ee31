"""Types that a declaration leaves out: found in all values, by the same rules each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.tables.conftest import read

from model_loop.tables.inference import ColumnEvidence, Inference, infer
from model_loop.tables.refused import TableFileError
from model_loop.tables.values import ColumnFormat

RANDOM = np.random.default_rng(0)


def inferred(cells: list[str] | list[float], name: str = "x") -> Inference:
    """The reading of some cells."""
    return infer(pa.array(cells), name=name)


def kind(cells: list[str] | list[float], name: str = "x") -> str:
    """The type of some cells, with its format of times."""
    found = inferred(cells, name)
    assert not found.alternatives
    return found.format.time_format if found.format.kind == "time" else found.format.kind


@pytest.mark.parametrize(
    ("cell", "time_format"),
    [
        ("2024-01-{:02}", "ISO8601"),
        ("2024-01-{:02} 08:30:00+01", "ISO8601"),
        ("{:02}.01.2024", "%d.%m.%Y"),
        ("01/{:02}/2024 08:30:00 AM", "%m/%d/%Y %I:%M:%S %p"),
        ("{:02}/01/2024 08:30", "%d/%m/%Y %H:%M"),
        ("2024/01/{:02}", "%Y/%m/%d"),
        ("202401{:02}", "%Y%m%d"),
        ("{:02}-Jan-2024", "%d-%b-%Y"),
        ("Jan {}, 2024", "%b %d, %Y"),
        ("{}. März 2024", "%d. %b %Y"),
        ("2024-01-{:02} 08.30", "%Y-%m-%d %H.%M"),
        ("01{:02}-01", "%Y-%m"),
        ("2024-W{:02}", "%G-W%V"),
        ("2024-W{:02}-3", "%G-W%V-%u"),
        ("KW {:02}/2024", "KW %V/%G"),
        ("2024-1{:02}", "%Y-%j"),
        ("14:{:02}", "%H:%M"),
        ("2:{:02} PM", "%I:%M %p"),
        ("8:05:{:02}", "%H:%M:%S"),
        ("7:{:02} Uhr", "%H:%M Uhr"),
        ("{} stycznia 2024", "%d %b %Y"),
        ("{} de enero de 2024", "%d de %b de %Y"),
        ("2024年1月{}日", "%Y年%m月%d日"),
        ("Mon, 01/{:02}/2024 9:05 AM", None),
        ("{:02}.01.2024 14:05 Uhr", "%d.%m.%Y %H:%M Uhr"),
    ],
)
def test_formats_of_times(cell: str, time_format: str | None) -> None:
    """One that reads every value; None where there is none."""
    cells = [cell.format(day) for day in range(1, 29)]
    if time_format == "%Y-%m":
        cells = [f"20{year:02}-05" for year in range(28)]
    found = inferred(cells).format
    assert (found.time_format if found.kind == "time" else None) == time_format


@pytest.mark.parametrize(
    ("cells", "time_format"),
    [
        (
            [f"{year}-Q{quarter}" for year in range(2000, 2010) for quarter in (1, 2, 3, 4)],
            "%Y-Q%q",
        ),
        (
            [f"Q{quarter} {year}" for year in range(2000, 2010) for quarter in (1, 2, 3, 4)],
            "Q%q %Y",
        ),
        ([f"{quarter}Q{year}" for year in range(10, 25) for quarter in (1, 4)], "%qQ%y"),
        ([f"{month:02}.2024" for month in range(1, 13)], "%m.%Y"),
        ([f"{month} 2024" for month in ("janv.", "févr.", "mars", "août")], "%b %Y"),
    ],
)
def test_formats_of_quarters_and_months(cells: list[str], time_format: str) -> None:
    """They are times: the first day of each."""
    assert kind(cells) == time_format


@pytest.mark.parametrize(
    ("cell", "unit"),
    [
        *(("${}.50", "$"), ("{},5 €", "€"), ("USD {}", "USD"), ("{} zł", "zł"), ("R$ {}", "R$")),
        *(("{}%", "%"), ("{},0 %", "%"), ("{}kg", "kg"), ("{} m²", "m²"), ("{}°C", "°C")),
    ],
)
def test_units_beside_numbers(cell: str, unit: str) -> None:
    """Currencies on both sides, other units behind the number."""
    found = inferred([cell.format(number) for number in range(10, 60)]).format
    assert (found.kind, found.unit) == ("number", unit)


@pytest.mark.parametrize("cell", ["A{}", "{}. Platz {}", "Week {}", "{}x20", "10.0.0.{}"])
def test_codes_have_no_unit(cell: str) -> None:
    """Words before a number, or several numbers."""
    assert kind([cell.format(number % 7, number % 7) for number in range(60)]) == "category"


def test_several_units_are_none() -> None:
    """5 g and 5 kg, 5 $ and 5 € are not the same number."""
    for mixed in (("{} g", "{} kg"), ("{} $", "{} €")):
        cells = [each.format(number % 9) for number in range(40) for each in mixed]
        assert kind(cells) == "category"


def test_the_order_of_rows_decides_on_day_and_month() -> None:
    """Where both orders read every value, and only one is in the order of time."""
    days = [f"0{1 + day % 9}/0{1 + day // 9}/2024" for day in range(81)]
    assert kind(days) == "%d/%m/%Y"
    swapped = [f"{month}/{day}/{year}" for day, month, year in (d.split("/") for d in days)]
    assert kind(swapped) == "%m/%d/%Y"


def test_day_and_month_may_stay_open(tmp_path: Path) -> None:
    """Then no row decides for itself: the declaration has to."""
    cells = [f"0{day}/0{month}/2024" for day, month in RANDOM.integers(1, 9, (50, 2))]
    found = inferred(cells)
    formats = {each.time_format for each in (found.format, *found.alternatives)}
    assert formats == {"%d/%m/%Y", "%m/%d/%Y"}
    text = "when,cnt\n" + "".join(f"{cell},1\n" for cell in cells)
    with pytest.raises(TableFileError, match=r"'%d/%m/%Y' and '%m/%d/%Y'") as caught:
        read(tmp_path, text)
    assert caught.value.code == "undecided_format"
    declared_format = '[columns.when]\nformat = "%m/%d/%Y"\n'
    assert len(read(tmp_path, text, declared_format).frame) == 50


def test_one_value_decides_on_day_and_month() -> None:
    """The thirteenth is no month."""
    cells = [f"0{day}/0{month}/2024" for day, month in RANDOM.integers(1, 9, (50, 2))]
    assert kind([*cells, "13/01/2024"]) == "%d/%m/%Y"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1.5", "2", "NA", "-3e5"], "number"),
        (["0", "1", "1"], "yes_no"),
        ([0.0, 1.0], "yes_no"),
        (["yes", "no", ""], "yes_no"),
        (["Ja", "Nein"], "yes_no"),
        (["N", "S"], "category"),
        (["1", "1"], "number"),
        (["01", "02"], "category"),
        (["a", "b", "1"], "category"),
        (["", "NA"], "ignored"),
        ([str(year) for year in range(1950, 2024)], "number"),
        ([f"{number}" for number in range(1, 100)], "id"),
        ([f"N{number}" for number in range(1, 100)], "id"),
        ([f"{number} was a good day" for number in range(1, 100)], "text"),
        ([f"{2**60 + number % 3}" for number in range(30)], "id"),
        ([f"{number % 17}" for number in range(100)], "number"),
        (["north", "south"] * 20, "category"),
        ([float(number) / 4 for number in range(50)], "number"),
    ],
)
def test_types(cells: list[str] | list[float], expected: str) -> None:
    """By all values."""
    assert kind(cells) == expected


def test_names_decide_on_whole_numbers_that_are_unclear() -> None:
    """A code comes often, an id does not; neither is a quantity."""
    often, seldom = [f"{n % 20}" for n in range(100)], [f"{n * n}" for n in range(100)]
    assert [kind(often, name) for name in ("storeId", "store_id", "zip_code", "stored")] == [
        *("category", "category", "category", "number")
    ]
    assert [kind(seldom, name) for name in ("PatientID", "kunden_nr", "area")] == [
        *("id", "id", "number")
    ]


def test_quantities_that_differ_are_no_ids() -> None:
    """Random numbers that never meet where they should have are."""
    drawn = RANDOM.permutation(np.arange(10_000, 12_000))[:1_000]
    assert kind([str(number) for number in drawn]) == "id"
    incomes = RANDOM.integers(20_000, 90_000, 1_000)
    assert kind([str(number) for number in incomes]) == "number"


def test_the_decimal_sign_is_one_for_each_column(tmp_path: Path) -> None:
    """What one column leaves open, the others decide."""
    assert inferred(["1,5", "22,75"]).format.decimal == ","
    assert inferred(["1.234,5", "2"]).format.decimal == ","
    assert inferred(["1,234.5", "2"]).format.decimal == "."
    assert inferred(["0.125", "0.250"]).format.decimal == "."
    assert len(inferred(["1.234", "2.500"]).alternatives) == 1
    german = read(tmp_path, "a;b\n1.234;0,5\n2.500;1,5\n")
    assert german.frame["a"].tolist() == [1234, 2500]
    english = read(tmp_path, 'a,b\n"1,234",0.5\n"2,500",1.5\n')
    assert english.frame["a"].tolist() == [1234, 2500]
    assert read(tmp_path, "a;b\n1,234;x\n2,500;y\n").frame["a"].tolist() == [1.234, 2.5]
    with pytest.raises(TableFileError, match="can be read in more than one way"):
        read(tmp_path, "a\tb\n1,234\tx\n2,500\ty\n")


def test_a_declared_decimal_sign_wins(tmp_path: Path) -> None:
    """Of the column, or of the table."""
    text = "a;b\n1,234;x\n2,500;y\n"
    assert read(tmp_path, text, 'decimal_char = "."\n').frame["a"].tolist() == [1234, 2500]
    column = '[columns.a]\ntype = "number"\ndecimal_char = ","\n'
    assert read(tmp_path, text, column).frame["a"].tolist() == [1.234, 2.5]


def test_words_among_numbers_are_missing_values() -> None:
    """A few of them, without digits; others make a column of words."""
    cells = [f"{number / 2}" for number in range(100)]
    found = inferred([*cells, "unbekannt"]).format
    assert (found.kind, "unbekannt" in found.missing) == ("number", True)
    assert kind([*cells, "1/2"]) != "number"
    assert kind([*cells, *"abcdefghijkl"]) != "number"


def test_one_word_may_stand_in_half_of_the_rows() -> None:
    """Among many different numbers; among a few, it is a category like them."""
    many = [str(number) for number in range(30)] * 2
    found = inferred([*many, *["trace"] * 40]).format
    assert (found.kind, "trace" in found.missing) == ("number", True)
    assert kind([*many, *["trace"] * 40, *["less"] * 10]) == "category"
    assert kind([*["1", "2", "3"] * 20, *["trace"] * 20]) == "category"


def test_points_between_dates_put_days_first() -> None:
    """Wherever dates are written so; a value that cannot be read so decides."""
    cells = [f"0{day}.0{month}.2024" for day, month in RANDOM.integers(1, 9, (50, 2))]
    assert kind(cells) == "%d.%m.%Y"
    assert kind([*cells, "01.13.2024"]) == "%m.%d.%Y"


def test_a_total_below_the_rows_spoils_no_column(tmp_path: Path) -> None:
    """Its row is rejected: it has no time."""
    rows = "".join(f"2024-01-{day:02},{day}\n" for day in range(1, 29))
    table = read(tmp_path, f"day,cnt\n{rows}Total,406\n")
    assert table.formats["day"].kind == "time"
    assert [(row.row, row.reason) for row in table.rejected] == [
        (29, "day = Total is not a time (ISO8601)")
    ]


def test_clock_times() -> None:
    """Whole numbers of which all are some, and many different ones, reach into the afternoon."""
    clock = [f"{hour * 100 + minute}" for hour in range(24) for minute in range(0, 60, 7)]
    found = inferred([*clock, "2400", *clock]).format
    assert (found.kind, found.clock_time) == ("number", True)
    plain = inferred([*clock, "1399", *clock]).format
    assert (plain.kind, plain.clock_time) == ("number", False)


def test_blocks_say_what_the_whole_says() -> None:
    """Wherever a column is cut."""
    cells = [f"{number % 7}.5" for number in range(200)] + ["none", "x"]
    whole = inferred(cells).format
    evidence = ColumnEvidence("x", ColumnFormat("text"))
    for first in range(0, len(cells), 60):
        evidence.add(pa.array(cells[first : first + 60]))
    assert evidence.decide().format == whole
