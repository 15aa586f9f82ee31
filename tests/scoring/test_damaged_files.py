"""Files with damage in single cells: no row is lost, and none spoils another."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.scoring.conftest import request_for
from tests.scoring.test_batch import run

from model_loop.errors import InvalidInputError
from model_loop.orchestration.steps import batch_scoring
from model_loop.scoring.batch.job import JobResult
from model_loop.scoring.batch.planning import plan_chunks
from model_loop.scoring.batch.scoring import score_chunk
from model_loop.scoring.predictor import Predictor
from model_loop.tables import delimited
from model_loop.tables import lines as row_lines

HEADER = "pickup_datetime,PULocationID,DOLocationID,trip_distance,passenger_count,note"
GOOD = "2024-01-15 08:30:00,74,75,1.2,1"
ROWS = 1_000


def table(changed: dict[int, str], rows: int = ROWS, end: str = "\n") -> str:
    """A file of good rows, of which each has its number as its note, and of some changed ones."""
    found = (changed.get(row, f"{GOOD},n{row}") for row in range(rows))
    return "".join(f"{line}{end}" for line in (HEADER, *found))


def scored(predictor: Predictor, source: Path) -> JobResult:
    """Score a file into the same folder."""
    output = source.with_name(f"out{source.suffix}")
    chunks = plan_chunks(request_for(predictor, source, output), str(source.parent / "storage"))
    return run(chunks, predictor)


def read(path: Path) -> list[list[str]]:
    """The rows of a result, by Python's own reader."""
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CR LF", "CR"])
@pytest.mark.parametrize(
    ("changed", "rejected"),
    [
        ({3: f"{GOOD},rider is 6'2\" tall"}, []),
        ({3: f'{GOOD},"never closed'}, [3]),
        ({3: f'{GOOD},"never closed', 4: f"{GOOD},6'2\""}, [3]),
        ({3: f'{GOOD},"never closed', 700: f"{GOOD},6'2\""}, [3]),
        ({3: f'{GOOD},"never closed', 4: f'{GOOD},"a, b"'}, [3]),
        ({3: f'{GOOD},"Joe" Smith'}, [3]),
        (dict.fromkeys(range(0, ROWS, 7), f'{GOOD},"6 feet'), list(range(0, ROWS, 7))),
        ({3: f"{GOOD},x,y,z"}, [3]),
        ({999: f'{GOOD},"at the end'}, [999]),
    ],
    ids=["stray", "open", "next", "far", "quoted", "behind", "many", "cells", "last"],
)
def test_a_quote_spoils_its_own_row_at_most(
    predictor: Predictor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[int, str],
    rejected: list[int],
    end: str,
) -> None:
    """All rows are accounted for by another reader, wherever the file is cut."""
    (tmp_path / "a.csv").write_bytes(table(changed, end=end).encode())
    monkeypatch.setattr(row_lines, "BLOCK", 1_024)
    result = scored(predictor, tmp_path / "a.csv")
    assert (result.rows, result.rejected_rows) == (ROWS, len(rejected))
    good = read(tmp_path / "out.csv")
    found = read(tmp_path / "out.rejected.csv") if rejected else []
    assert [int(row[0]) for row in found] == rejected
    assert len(good) + len(found) == ROWS
    untouched = [f"n{row}" for row in range(ROWS) if row not in changed]
    assert [row[5] for row in good if row[5].startswith("n")] == untouched


def test_cells_over_several_lines_are_one_row(predictor: Predictor, tmp_path: Path) -> None:
    """Quoted cells may hold line ends, commas, quotes, and what looks like prose."""
    notes = {
        1: '"over\ntwo lines"',
        4: '"one, two, three, four, five, six\nand\n\n""quoted"", the end"',
        6: '"1,2\n3"',
    }
    changed = {row: f"{GOOD},{note}" for row, note in notes.items()}
    (tmp_path / "a.csv").write_text(table(changed, rows=8))
    result = scored(predictor, tmp_path / "a.csv")
    assert (result.rows, result.rejected_rows) == (8, 0)
    assert read(tmp_path / "out.csv")[4][5] == (
        'one, two, three, four, five, six\nand\n\n"quoted", the end'
    )


def test_every_valid_file_is_read_as_python_reads_it(tmp_path: Path) -> None:
    """Random texts with quotes, commas and line ends of all kinds; in blocks of any size."""
    choose = random.Random(7)  # noqa: S311 - the same files each time

    def text() -> str:
        return "".join(choose.choice('ab1",\n\r ') for _ in range(choose.randint(0, 12)))

    path = tmp_path / "a.csv"
    for number in range(300):
        rows = [
            [text(), "2024-01-15 08:30:00", "74", text(), text()]
            for _ in range(choose.randint(1, 12))
        ]
        with path.open("w", newline="") as file:
            for row in ([*"vwxyz"], *rows):
                end = choose.choice(("\n", "\r\n", "\r", "\n\n"))
                written = io.StringIO()
                # By its own line end, Python's writer finds out which cells have to be quoted.
                csv.writer(
                    written,
                    lineterminator="\r\n",
                    quoting=csv.QUOTE_ALL if number % 2 else csv.QUOTE_MINIMAL,
                ).writerow(row)
                file.write(written.getvalue()[:-2] + end)
        with pytest.MonkeyPatch.context() as patch, path.open("rb") as binary:
            patch.setattr(row_lines, "BLOCK", choose.choice((8, 40, 10_000)))
            header = delimited.TextHeader(tuple("vwxyz"), ",", b"")
            found = [
                list(cells)
                for block in row_lines.row_blocks(binary.read, row_lines.Dialect(",", 5), "it")
                for cells in zip(
                    *(column.to_pylist() for column in delimited.parse_rows(block, header).columns),
                    strict=True,
                )
            ]
        assert found == [[*"vwxyz"], *rows]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (f'{HEADER},"open', "has no header: a quoted name has no end"),
        (f'"open,{HEADER}', "has no header: a quoted name has no end"),
    ],
)
def test_a_header_swallows_no_row(
    predictor: Predictor, tmp_path: Path, header: str, message: str
) -> None:
    """A quote that is never closed is reported, and not read as a long name."""
    body = table({5: f"{GOOD},6'2\""}, rows=10).partition("\n")[2]
    (tmp_path / "a.csv").write_text(f"{header}\n{body}")
    with pytest.raises(InvalidInputError, match=message):
        scored(predictor, tmp_path / "a.csv")


def test_a_name_over_two_lines(predictor: Predictor, tmp_path: Path) -> None:
    """A line end in a quoted name belongs to the name, as programs that wrap headers write it."""
    body = table({}, rows=10).partition("\n")[2]
    (tmp_path / "a.csv").write_text(HEADER.replace("note", '"a\nnote"') + f"\n{body}")
    assert scored(predictor, tmp_path / "a.csv").predicted_rows == 10
    assert pd.read_csv(tmp_path / "out.csv").columns[5] == "a\nnote"


def test_the_files_of_tlc(predictor: Predictor, tmp_path: Path) -> None:
    """A blank second line, CR LF, and two empty cells more in each row, as TLC published 2016."""
    body = [f"{GOOD},n{row},," for row in range(5)]
    (tmp_path / "a.csv").write_bytes("\r\n".join([HEADER, "", *body, "", ""]).encode())
    result = scored(predictor, tmp_path / "a.csv")
    assert (result.rows, result.rejected_rows) == (5, 0)
    # Nothing stands under a wrong name.
    found = pd.read_csv(tmp_path / "out.csv")
    assert list(found.note) == [f"n{row}" for row in range(5)]
    assert found.predicted_minutes.between(1, 200).all()


def test_one_cell_rejects_its_row(predictor: Predictor, tmp_path: Path) -> None:
    """Values that no clock and no model takes, among good ones."""
    changed = {
        1: "2024-01-15 08:30:00+00,74,75,1.2,1,n1",
        2: "01/15/2024 03:30:00 AM,JFK Airport,75.0,1.2,1,n2",
        3: "9999-12-31 23:59:59,74,75,1.2,1,n3",
        4: "2024-01-15 08:30:00,74,75,1.2,1e39,n4",
        5: "2024-01-15,74,75,1.2,1,n5",
        6: "2024-01-15 08:30:00 UTC,74,75,1.2,1,n6",
    }
    (tmp_path / "a.csv").write_text(table(changed, rows=10))
    result = scored(predictor, tmp_path / "a.csv")
    assert result.predicted_rows == 7
    rejected = pd.read_csv(tmp_path / "out.rejected.csv")
    assert list(rejected["row"]) == [3, 4, 5]
    assert result.reason == rejected.reason[0]
    assert "begins in the year 9999" in rejected.reason[0]
    assert "passenger_count = 1e39 is not a number from 0 to 1,000" in rejected.reason[1]
    assert "is a day without a time of day; read are 2024-01-15 08:30:00" in rejected.reason[2]


def test_a_run_without_a_prediction_has_failed(predictor: Predictor, tmp_path: Path) -> None:
    """The last step of the DAG says so, when the results of all files are there."""
    chunks = []
    for name, row in (("good", f"{GOOD},x"), ("bad", "soon,74,75,1.2,1,x")):
        (tmp_path / f"{name}.csv").write_text(f"{HEADER}\n{row}\n{row}\n")
        request = request_for(predictor, tmp_path / f"{name}.csv", tmp_path / f"{name}.o.csv")
        chunks += plan_chunks(request, str(tmp_path))
    for chunk in chunks:
        score_chunk(chunk, predictor)
    with pytest.raises(InvalidInputError, match=r"bad.csv holds no row.*soon is not a time; read"):
        batch_scoring.join_outputs(list(reversed(chunks)))
    assert len(read(tmp_path / "good.o.csv")) == 2
    assert len(read(tmp_path / "bad.o.rejected.csv")) == 2
    joined = batch_scoring.join_outputs(chunks[:1])
    assert (joined["rows"], joined["predicted_rows"], joined["rejected_rows"]) == (2, 2, 0)


def test_the_operators_step_gets_numbers_and_times(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step of the guide reckons with the columns of a CSV file, wherever it is cut."""
    (tmp_path / "fleet_steps.py").write_text(
        "def prepare(rows):\n"
        "    assert list(map(str, rows.dtypes[['km', 'at']])) == ['float64', 'datetime64[us]']\n"
        "    assert set(rows.code) == {'007'}\n"
        "    miles = rows['km'] / 1.609344\n"
        "    return rows.assign(trip_distance=miles).rename(columns={'at': 'pickup_at'})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = ["2024-01-15 08:30:00,74,75,2.0,007"] * 2_500
    rows[1_700] = "2024-01-15 08:30:00,74,75,far,007"
    rows[2_100] = "tomorrow,74,75,2.0,007"
    source = tmp_path / "a.csv"
    source.write_text("\n".join(["at,PULocationID,DOLocationID,km,code", *rows]))
    request = request_for(
        predictor, source, tmp_path / "o.csv", preprocessing="fleet_steps.prepare"
    )
    result = run(plan_chunks(request, str(tmp_path)), predictor)
    assert (result.rows, result.rejected_rows) == (2_500, 2)
    reasons = pd.read_csv(tmp_path / "o.rejected.csv").set_index("row").reason
    assert reasons[1_700] == "km = far is not a number, unlike nearly all of its column"
    assert reasons[2_100] == "at = tomorrow is not a time, unlike nearly all of its column"


def test_parquet_of_other_programs(predictor: Predictor, tmp_path: Path) -> None:
    """Texts as views, a moment beyond the clocks, and a bad zone: passed on, or rejected alone."""
    rows = 6
    times = [1_705_307_400_000] * rows
    times[2] = 2**63 - 1
    columns = {
        "pickup_datetime": pa.array(times, pa.timestamp("ms")),
        "PULocationID": pa.array([74, 999, 74, 74, 74, 74], pa.int64()),
        "DOLocationID": pa.array([75] * rows, pa.int32()),
        "trip_distance": pa.array([1.2] * rows),
        "note": pa.array([f"n{row}" for row in range(rows)], pa.string_view()),
        "raw": pa.array([b"x"] * rows, pa.binary_view()),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    result = scored(predictor, tmp_path / "a.parquet")
    assert (result.rows, result.rejected_rows) == (rows, 2)
    assert pq.read_table(tmp_path / "out.parquet")["note"].to_pylist() == ["n0", "n3", "n4", "n5"]
    assert pq.read_table(tmp_path / "out.rejected.parquet")["row"].to_pylist() == [1, 2]


def trips(rows: int = 4, **columns: pa.Array) -> pa.Table:
    """A table of sound trips, with some columns more or exchanged."""
    sound = {
        "pickup_datetime": pa.array([1_705_307_400_000] * rows, pa.timestamp("ms")),
        "PULocationID": pa.array([74] * rows),
        "DOLocationID": pa.array([75] * rows),
        "trip_distance": pa.array([1.2] * rows),
    }
    return pa.table({**sound, **columns})


@pytest.mark.parametrize("column", ["PULocationID", "trip_distance", "passenger_count"])
@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (True, pa.bool_(), "True"),
        ([74], pa.list_(pa.int64()), "[74]"),
        ({"a": "x"}, pa.struct([("a", pa.string())]), "{'a': 'x'}"),
        (74, pa.duration("s"), "0:01:14"),
    ],
    ids=["truth", "list", "struct", "span"],
)
def test_what_is_no_number_is_rejected(
    predictor: Predictor, tmp_path: Path, column: str, value: object, kind: pa.DataType, shown: str
) -> None:
    """Neither a zone nor miles nor passengers are read off a truth, a list or a span of time."""
    pq.write_table(
        trips(**{column: pa.array([value, None, value, value], kind)}), tmp_path / "a.parquet"
    )
    result = scored(predictor, tmp_path / "a.parquet")
    # The typical distance is taken, and told.
    missing = column != "PULocationID"
    assert (result.rows, result.predicted_rows) == (4, int(missing))
    assert result.reason.startswith(f"{column} = {shown} is not a number")


def test_texts_as_views_within_structs_and_lists(predictor: Predictor, tmp_path: Path) -> None:
    """A sound file is passed on beside a rejected row, however deep its views lie."""
    text = pa.string_view()
    inner = pa.array(
        [{"a": ["x"], "b": {"c": "y"}}] * 4,
        pa.struct([("a", pa.list_(text)), ("b", pa.struct([("c", text)]))]),
    )
    pairs = pa.array([[("k", "v")]] * 4, pa.map_(pa.string(), text))
    zones = pa.array([74, 999, 74, 74])
    table = trips(
        PULocationID=zones, inner=inner, texts=pa.array([["t"]] * 4, pa.list_(text)), pairs=pairs
    )
    pq.write_table(table, tmp_path / "a.parquet")
    result = scored(predictor, tmp_path / "a.parquet")
    assert (result.predicted_rows, result.rejected_rows) == (3, 1)
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["inner"], row["texts"], row["pairs"]) for row in found] == [
        ({"a": ["x"], "b": {"c": "y"}}, ["t"], [("k", "v")])
    ] * 3


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_that_are_called_row_and_reason(
    predictor: Predictor, tmp_path: Path, kind: str
) -> None:
    """They are passed on, and the number and the reason of a rejected row stand beside them."""
    table = trips(
        PULocationID=pa.array([74, 999, 74, 74]),
        row=pa.array([11, 12, 13, 14]),
        reason=pa.array(["holiday"] * 4),
        rejected_reason=pa.array(["none"] * 4),
    )
    source = tmp_path / f"a.{kind}"
    if kind == "csv":
        table.to_pandas().to_csv(source, index=False)
    else:
        pq.write_table(table, source)
    assert scored(predictor, source).rejected_rows == 1
    read_as = pd.read_csv if kind == "csv" else pd.read_parquet
    (rejected,) = read_as(tmp_path / f"out.rejected.{kind}").to_dict("records")
    assert list(rejected)[:2] == ["rejected_row", "rejected_rejected_reason"]
    assert (rejected["rejected_row"], rejected["row"], rejected["reason"]) == (1, 12, "holiday")
    assert "999 is not a zone" in rejected["rejected_rejected_reason"]


def test_damaged_parquet_is_named(predictor: Predictor, tmp_path: Path) -> None:
    """A hundred files with spoilt bytes: scored, or refused with the name of the file."""
    count, choose = 2_000, np.random.default_rng(3)
    columns = {
        "pickup_datetime": pa.array([1_705_307_400_000] * count, pa.timestamp("ms")),
        "PULocationID": pa.array([*range(1, 201)] * 10),
        "DOLocationID": pa.array([75] * count),
        "trip_distance": pa.array(choose.random(count)),
        "note": pa.array([f"n{row}" for row in range(count)]),
    }
    pq.write_table(pa.table(columns), tmp_path / "sound.parquet", row_group_size=500)
    sound = (tmp_path / "sound.parquet").read_bytes()
    refused = list[str]()
    for number in range(100):
        data = bytearray(sound)
        for place in choose.integers(4, len(data), size=1 + number % 8):
            data[place] = int(choose.integers(256))
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "spoilt.parquet").write_bytes(data)
        # Whatever else is raised would reach a person as a traceback.
        try:
            scored(predictor, folder / "spoilt.parquet")
        except InvalidInputError as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert [one for one in refused if "spoilt.parquet" not in one] == []


def test_times_of_an_unknown_zone_are_moments(predictor: Predictor, tmp_path: Path) -> None:
    """A file holds moments in UTC beside the name of a zone, which need not be known."""
    time = pa.array([1_705_307_400_000_000], pa.timestamp("us", "Mars/Base"))
    trip = {"PULocationID": [74], "DOLocationID": [75], "trip_distance": [1.2]}
    pq.write_table(pa.table({"pickup_datetime": time, **trip}), tmp_path / "a.parquet")
    assert scored(predictor, tmp_path / "a.parquet").predicted_rows == 1
    found = pq.read_table(tmp_path / "out.parquet")["prediction"]
    utc = pa.array([1_705_307_400_000_000], pa.timestamp("us", "UTC"))
    (tmp_path / "utc").mkdir()
    pq.write_table(pa.table({"pickup_datetime": utc, **trip}), tmp_path / "utc" / "a.parquet")
    assert scored(predictor, tmp_path / "utc" / "a.parquet").predicted_rows == 1
    assert pq.read_table(tmp_path / "utc" / "out.parquet")["prediction"] == found


@pytest.mark.parametrize("said", ["[" * 50_000, "{", '{"index_columns": ["gone"], "columns": []}'])
def test_what_a_file_says_to_pandas_is_not_asked(
    predictor: Predictor, tmp_path: Path, said: str
) -> None:
    """Rows are scored, whatever other programs have written beside the columns."""
    frame = pd.read_csv(io.StringIO(table({}, 20)), parse_dates=["pickup_datetime"])
    found = pa.Table.from_pandas(frame).replace_schema_metadata({"pandas": said})
    pq.write_table(found, tmp_path / "trips.parquet")
    result = scored(predictor, tmp_path / "trips.parquet")
    assert (result.rows, result.rejected_rows) == (20, 0)
