"""Findings about rows and columns that no table of the bench has, and their quiet counterparts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model_loop.datasets.declaration import Declaration, parse_declaration
from model_loop.datasets.words import NO, YES, YES_NO
from model_loop.drafting.analysis import analyse
from model_loop.drafting.answers import DraftAnswers
from model_loop.drafting.draft import Draft, draft

N = 400
NO_ANSWERS = DraftAnswers()


def drafted(
    frame: pd.DataFrame, folder: Path, answers: DraftAnswers = NO_ANSWERS
) -> tuple[Draft, Declaration]:
    """The draft of a table with the target y, and its declaration."""
    path = folder / "table.csv"
    frame.to_csv(path, index=False)
    read, analysis = analyse([str(path)], "y", folder=folder, date_order=answers.date_order)
    made = draft(read, analysis, answers)
    return made, parse_declaration(made.text, "table.toml")


def table(**columns: object) -> pd.DataFrame:
    """A table with a target and a number."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=N).round(3)
    return pd.DataFrame({"x": x, **columns, "y": (x + draw.normal(size=N)).round(3)})


def codes(made: Draft) -> set[tuple[str, str | None]]:
    """Code and column of each finding."""
    return {(finding.code, finding.column) for finding in made.findings}


def test_a_far_date_stands_for_a_missing_one(tmp_path: Path) -> None:
    """Programs write the first or the last date that they know."""
    days = pd.Series(pd.date_range("2023-01-01", periods=N).strftime("%Y-%m-%d"))
    made, _ = drafted(table(day=days.where(days.index % 40 > 0, "1900-01-01")), tmp_path)
    assert ("sentinel", "day") in codes(made)
    assert ("sentinel", "day") not in codes(drafted(table(day=days), tmp_path)[0])


@pytest.mark.parametrize("order", ["day_first", "month_first"])
def test_the_order_of_dates_is_asked_for(tmp_path: Path, order: str) -> None:
    """Where no date tells day from month, the draft is open until somebody does."""
    draw = np.random.default_rng(1)
    days = [f"{draw.integers(1, 13):02}/{draw.integers(1, 13):02}/2023" for _ in range(N)]
    made, declaration = drafted(table(day=days), tmp_path)
    assert ("ambiguous_date", "day") in codes(made)
    assert declaration.status == "draft"
    answers = DraftAnswers(date_order="day_first" if order == "day_first" else "month_first")
    made, declaration = drafted(table(day=days), tmp_path, answers)
    assert ("ambiguous_date", "day") not in codes(made)
    assert declaration.columns["day"].format == ("%d/%m/%Y" if order == "day_first" else "%m/%d/%Y")
    assert declaration.status == "ready"


def test_seconds_since_1970_are_times(tmp_path: Path) -> None:
    """If their name says so, or the order of the rows; others of that size are none."""
    seconds = np.arange(N) * 3_600 + 1_650_000_000
    shuffled = np.random.default_rng(0).permutation(seconds)
    made, declaration = drafted(
        table(timestamp=seconds, serial=seconds + 7, t=seconds * 1_000, n=shuffled), tmp_path
    )
    assert [made.kinds[name] for name in ("timestamp", "serial", "t", "n")] == [
        *("time", "id", "time", "number")
    ]
    assert declaration.columns["timestamp"].format == "epoch_s"
    assert declaration.time is not None
    assert declaration.time.column == "timestamp"


def test_parts_of_a_time_in_several_columns_are_named(tmp_path: Path) -> None:
    """Without one column of time, rows cannot be split by it."""
    days = pd.date_range("2022-01-01", periods=N)
    made, _ = drafted(table(Jahr=days.year, Monat=days.month, Tag=days.day), tmp_path)
    assert "time_in_parts" in {code for code, _ in codes(made)}


def test_a_class_is_drafted_and_not_learned_yet(tmp_path: Path) -> None:
    """The declaration says what it is, and a finding that it has to wait."""
    frame = table()
    frame["y"] = np.where(frame["y"] > 0, "yes", "no")
    made, declaration = drafted(frame, tmp_path)
    assert (declaration.task.kind, declaration.task.positive_class) == ("binary", True)
    assert ("task_not_learned", "y") in codes(made)


def test_hours_between_events_are_no_gaps(tmp_path: Path) -> None:
    """Events come when they come; a series of days has one row a day."""
    draw = np.random.default_rng(2)
    start = pd.Timestamp("2024-01-01")
    events = start + pd.to_timedelta(np.sort(draw.integers(0, 40 * 86_400, N)), "s")
    made, _ = drafted(table(at=events.strftime("%Y-%m-%d %H:%M:%S")), tmp_path)
    assert ("time_gaps", "at") not in codes(made)
    days = pd.date_range(start, periods=N + 1).delete(200)
    made, _ = drafted(table(at=days.strftime("%Y-%m-%d")), tmp_path)
    (gaps,) = (finding for finding in made.findings if finding.code == "time_gaps")
    assert gaps.message.startswith("1 of 401 times have no row, the first at 2024-07-19")


def test_the_birth_of_somebody_is_not_the_time_of_a_row(tmp_path: Path) -> None:
    """A table of persons is not split by their age."""
    draw = np.random.default_rng(3)
    births = pd.Timestamp("1960-01-01") + pd.to_timedelta(draw.integers(0, 9_000, N), "D")
    _, declaration = drafted(table(Geburtsdatum=births.strftime("%d.%m.%Y")), tmp_path)
    assert declaration.columns["Geburtsdatum"].type == "time"
    assert declaration.time is None


def test_options_about_the_split_count(tmp_path: Path) -> None:
    """The time that was found can be refused, and an entity or chance be chosen."""
    days = pd.date_range("2023-01-01", periods=N).strftime("%Y-%m-%d")
    who = np.arange(N) // 4 % 50
    frame = table(day=days, person_id=who)
    split = drafted(frame, tmp_path)[1].split
    assert (split.time_on, split.group_on, split.shuffle) == ("day", None, False)
    split = drafted(frame, tmp_path, DraftAnswers(group_on="person_id"))[1].split
    assert (split.time_on, split.group_on) == (None, "person_id")
    _, declaration = drafted(frame, tmp_path, DraftAnswers(time_column="none", group_on="none"))
    assert (declaration.time, declaration.split.group_on) == (None, None)
    assert drafted(frame, tmp_path, DraftAnswers(shuffle=True))[1].split.shuffle


@pytest.mark.parametrize(("yes", "no"), YES_NO)
def test_yes_and_no_are_read_in_many_languages(tmp_path: Path, yes: str, no: str) -> None:
    """In any letters, and with gaps."""
    draw = np.random.default_rng(4)
    words = draw.choice([yes.capitalize(), no, ""], N)
    made, _ = drafted(table(answer=words), tmp_path)
    assert made.kinds["answer"] == "yes_no"
    assert not YES & NO
