"""Files whose rows end in several ways: each row is one, by another way of counting."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from tests.scoring.test_damaged_files import GOOD, HEADER, scored

from model_loop.errors import StoredObjectError
from model_loop.scoring.batch import texts
from model_loop.scoring.batch.job import added_names
from model_loop.scoring.predictor import Predictor
from model_loop.tables import lines
from trip_duration.dataset import TRIPS

ADDED = len(added_names(TRIPS.target))
ROWS = 1_000
LINES = [HEADER, *(f"{GOOD},n{row}" for row in range(ROWS))]

ENDS = {
    "LF, then CR": lambda row: "\n" if row < 2 else "\r",
    "CR LF, one CR": lambda row: "\r" if row == 7 else "\r\n",
    "LF, each tenth CR": lambda row: "\r" if row % 10 == 5 else "\n",
    "header CR, rows LF": lambda row: "\n" if row else "\r",
    "CR, one LF": lambda row: "\n" if row == 500 else "\r",
    "CR, one CR LF": lambda row: "\r\n" if row == 500 else "\r",
    "CR LF as text": lambda _: "\r\r\n",
    "LF CR": lambda _: "\n\r",
    "blank lines": lambda row: "\n\n" if row % 2 else "\r\n\r\n",
}


def python_rows(path: Path) -> list[list[str]]:
    """Return the rows of a file as Python's own reader sees them, which takes any line end."""
    with path.open(newline="") as file:
        return [row for row in csv.reader(file) if row][1:]


@pytest.mark.parametrize("whole", [True, False], ids=["at once", "in blocks"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_mixed_line_ends_lose_no_row(
    predictor: Predictor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: object,
    whole: bool,  # noqa: FBT001 - pytest's
) -> None:
    """As many rows are predicted as another reader finds, wherever the file is cut."""
    assert callable(end)
    text = "".join(line + end(row) for row, line in enumerate(LINES))
    (tmp_path / "a.csv").write_bytes(text.encode())
    if not whole:
        monkeypatch.setattr(lines, "BLOCK", 2_011)
    result = scored(predictor, tmp_path / "a.csv")
    expected = python_rows(tmp_path / "a.csv")
    assert len(expected) == ROWS
    assert (result.rows, result.predicted_rows, result.rejected_rows) == (ROWS, ROWS, 0)
    assert [
        row[: -len(added_names(TRIPS.target))] for row in python_rows(tmp_path / "out.csv")
    ] == expected


def test_rejected_rows_of_mixed_line_ends(predictor: Predictor, tmp_path: Path) -> None:
    """A wrong row is rejected alone, by the number that other readers give it."""
    rows = list(LINES)
    rows[4], rows[900] = f"soon{GOOD[19:]},x", "one cell"
    text = "\r".join(rows[:10]) + "\n" + "\r\n".join(rows[10:])
    (tmp_path / "a.csv").write_bytes(text.encode())
    result = scored(predictor, tmp_path / "a.csv")
    assert (result.rows, result.rejected_rows) == (ROWS, 2)
    rejected = python_rows(tmp_path / "out.rejected.csv")
    assert [(row[0], row[2]) for row in rejected] == [("3", "soon"), ("899", "one cell")]


@pytest.mark.parametrize("quoted", ['"a\nb"', '"a\rb"', '"a\r\n\r\nb"'])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_in_quotes_are_text(
    predictor: Predictor, tmp_path: Path, end: str, quoted: str
) -> None:
    """Line ends within a quoted cell end no row, whatever ends the rows."""
    rows = [line.replace(",n500", f",{quoted}") for line in LINES]
    (tmp_path / "a.csv").write_bytes(end.join(rows).encode())
    result = scored(predictor, tmp_path / "a.csv")
    assert (result.rows, result.predicted_rows) == (ROWS, ROWS)
    expected = python_rows(tmp_path / "a.csv")
    assert [
        row[: -len(added_names(TRIPS.target))] for row in python_rows(tmp_path / "out.csv")
    ] == expected


def test_the_second_count_is_another_one(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are taken for one are noticed, should the first count ever be wrong again."""
    (tmp_path / "a.csv").write_bytes("\r".join(LINES).encode())
    found = lines._line_ends
    monkeypatch.setattr(lines, "_line_ends", lambda *given: found(*given)[::2])
    with pytest.raises(
        StoredObjectError, match=r"hold 500 rows without quotes, and the file 1,000\."
    ):
        scored(predictor, tmp_path / "a.csv")
    monkeypatch.undo()
    monkeypatch.setattr(texts._Delimited, "predicted", lambda *_: b"")
    with pytest.raises(StoredObjectError, match=r"hold 0 rows, and the file 1,000\."):
        scored(predictor, tmp_path / "a.csv")


_ANY_END = st.sampled_from(["\n", "\r\n", "\r", "\r\r\n", "\n\n"])
_QUOTED = st.text('ab", \r\n', max_size=8).map(lambda text: '"{}"'.format(text.replace('"', '""')))
_STRAY = st.sampled_from(["6'2\"", '"', 'a"b"c', '"x" y', "a,b", "\x00", "\ufeff", "a\tb", "True"])


@seed(22)
@settings(max_examples=40, deadline=None, database=None)
@given(
    notes=st.lists(st.one_of(st.just("n"), _QUOTED), min_size=1, max_size=12),
    stray=st.dictionaries(st.integers(0, 11), _STRAY, max_size=3),
    ends=st.lists(_ANY_END, min_size=1, max_size=4),
    legal=st.booleans(),
)
def test_rows_add_up_in_any_file(
    predictor: Predictor, notes: list[str], stray: dict[int, str], ends: list[str], *, legal: bool
) -> None:
    """Python's reader counts a legal file; where quotes are stray, each line is a row."""
    if not legal:
        notes = [stray.get(row, "n") for row in range(len(notes))]
    found = [HEADER, *(f"{GOOD},{note}" for note in notes)]
    text = "".join(line + ends[row % len(ends)] for row, line in enumerate(found))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "a.csv"
        source.write_bytes(text.encode())
        result = scored(predictor, source)
        assert result.rows == len(notes) == result.predicted_rows + result.rejected_rows
        assert len(python_rows(source.with_name("out.csv"))) == result.predicted_rows
        if legal:
            assert result.rows == result.predicted_rows == len(python_rows(source))
        else:
            assert result.predicted_rows >= sum(note == "n" for note in notes)
