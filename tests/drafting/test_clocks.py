"""Clocks of times: what offsets and rows show of them, asked and written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model_loop.datasets.declaration_file import parse_declaration
from model_loop.drafting.analysis import analyse
from model_loop.drafting.answers import DraftAnswers
from model_loop.drafting.clocks import Clocks
from model_loop.drafting.draft import Draft, draft, open_clocks
from model_loop.drafting.questions import questions
from model_loop.errors import InvalidInputError

BERLIN, KOLKATA = "Europe/Berlin", "Asia/Kolkata"


def written(moments: pd.DatetimeIndex, zone: str) -> pd.Index:
    """Return moments as a file has them that is on the clocks of a time zone."""
    return moments.tz_convert(zone).strftime("%Y-%m-%d %H:%M")


def orders(zone: str, years: float = 1.0, rows: int = 9_000) -> pd.DatetimeIndex:
    """Return moments of orders: most from 8 to 20 o'clock on the clocks of a place."""
    rng = np.random.default_rng(3)
    days = rng.integers(0, int(365 * years), rows)
    hours = np.clip(rng.normal(13, 3, rows), 7, 20)
    local = pd.Timestamp("2023-01-02") + pd.to_timedelta(days * 24 + hours, unit="h")
    return pd.DatetimeIndex(local).floor("min").tz_localize(zone).sort_values()


def hours(zone: str, years: int = 3) -> pd.DatetimeIndex:
    """Return every hour of some years, as a device records them."""
    first = pd.Timestamp("2020-01-01", tz=zone)
    return pd.date_range(first, first + pd.DateOffset(years=years), freq="h")


def clocks(folder: Path, at: pd.Index, zone: str, **columns: object) -> Clocks | None:
    """Draft a table and return what its rows show."""
    rng = np.random.default_rng(5)
    columns = {"x": rng.normal(0, 1, len(at)).round(2), "y": rng.normal(9, 2, len(at))} | columns
    path = folder / "orders.csv"
    pd.DataFrame({"at": at, **columns}).to_csv(path, index=False)
    return open_clocks(
        *analyse([str(path)], "y", folder=folder), DraftAnswers(time_zone=zone, time_column="at")
    )


def stored_in(found: Clocks | None) -> str:
    """Return the time zone that the rows show; empty if none."""
    assert found is not None
    return found.stored_in


@pytest.mark.parametrize("stored", ["UTC", BERLIN])
def test_what_people_do_keeps_its_hours_on_their_clocks(tmp_path: Path, stored: str) -> None:
    """Orders of a year: their hours move by one in UTC when summer time begins and ends."""
    found = clocks(tmp_path, written(orders(BERLIN), stored), BERLIN)
    assert stored_in(found) == stored


@pytest.mark.parametrize("stored", ["UTC", BERLIN])
def test_clocks_of_a_place_skip_an_hour(tmp_path: Path, stored: str) -> None:
    """A device that writes each hour: on the clocks of a place, the skipped one has no row."""
    found = clocks(tmp_path, written(hours(BERLIN), stored), BERLIN)
    assert stored_in(found) == stored
    assert found is not None
    assert "skip" in found.evidence


@pytest.mark.parametrize("stored", ["UTC", BERLIN])
def test_the_sun_is_not_taken_for_people(tmp_path: Path, stored: str) -> None:
    """What the sun does keeps its hours in UTC, and moves on clocks: it shows no other clocks."""
    at = hours(BERLIN)
    at = at[at.tz_convert(BERLIN).hour > 5]
    light = np.clip(np.sin((np.asarray(at.tz_convert("UTC").hour) - 5) / 12 * np.pi), 0, None)
    light += np.random.default_rng(1).normal(0, 0.02, len(at))
    assert stored_in(clocks(tmp_path, written(at, stored), BERLIN, y=light)) in {stored, ""}


def test_a_column_of_hours_shows_the_clocks(tmp_path: Path) -> None:
    """Where the hour stands in a column of its own, and is that of the place."""
    at = orders(BERLIN, years=0.15)
    found = clocks(tmp_path, written(at, "UTC"), BERLIN, hour=at.tz_convert(BERLIN).hour)
    assert stored_in(found) == "UTC"
    assert found is not None
    assert "hour is their hour in Europe/Berlin" in found.evidence
    # Of times on the clocks of the place it shows nothing, nor does an hour of the same clocks.
    same = clocks(tmp_path, written(at, BERLIN), BERLIN, hour=at.tz_convert(BERLIN).hour)
    assert stored_in(same) == ""


@pytest.mark.parametrize("stored", ["UTC", KOLKATA])
def test_nights_show_the_clocks_without_summer_time(tmp_path: Path, stored: str) -> None:
    """Most rows are by day on the clocks of one of them alone."""
    assert stored_in(clocks(tmp_path, written(orders(KOLKATA), stored), KOLKATA)) == stored


def test_clocks_of_the_place_where_the_rows_show_nothing(tmp_path: Path) -> None:
    """Files that people write are on their clocks; rows that fall into another month are said."""
    found = clocks(tmp_path, written(orders("UTC", years=0.15), "UTC"), BERLIN)
    assert found is not None
    assert (found.stored_in, found.default) == ("", BERLIN)
    late = pd.date_range("2023-01-01 23:30", periods=40, freq="D", tz="UTC")
    shown = clocks(tmp_path, written(late, "UTC"), BERLIN)
    assert shown is not None
    assert shown.described.endswith("1 row falls into another month in UTC.")


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%MZ", "%Y-%m-%d", "%Y-%m-%d %H:%M+02:00"])
def test_times_that_say_their_clocks_ask_nothing(tmp_path: Path, form: str) -> None:
    """Nor do days without a time of day."""
    assert clocks(tmp_path, orders(BERLIN).strftime(form), BERLIN) is None


def test_the_question_has_the_evidence_and_the_draft_the_answer(tmp_path: Path) -> None:
    """Asked after the place; an answer that the rows contradict is a finding."""
    path = tmp_path / "orders.csv"
    at, rng = written(orders(BERLIN), "UTC"), np.random.default_rng(4)
    pd.DataFrame({"at": at, "y": rng.normal(9, 2, len(at))}).to_csv(path, index=False)
    read = analyse([str(path)], "y", folder=tmp_path)
    assert "stored_in" not in {each.field for each in questions(*read, DraftAnswers())}
    given = DraftAnswers(time_zone=BERLIN)
    (asked,) = (each for each in questions(*read, given) if each.field == "stored_in")
    assert (asked.default, asked.option) == ("UTC", "--stored-in")
    assert "move when the clocks" in asked.evidence
    for answers, stored, codes in (
        (given, "UTC", set()),
        (DraftAnswers(time_zone=BERLIN, stored_in=BERLIN), BERLIN, {"other_clocks"}),
    ):
        made = draft(*read, answers)
        time = parse_declaration(made.text, "orders").time
        assert time is not None
        assert time.stored_in == stored
        assert {each.code for each in made.findings} & {"other_clocks"} == codes
    with pytest.raises(InvalidInputError, match="such as Europe/Berlin"):
        draft(*read, DraftAnswers(time_zone="Europe/Berln"))


def with_offsets(folder: Path, at: list[str] | pd.DatetimeIndex) -> Draft:
    """Draft a table whose times carry offsets, and nobody says of which place."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"at": at, "y": rng.normal(9, 2, len(at))})
    path = folder / "orders.parquet"
    frame.to_parquet(path)
    return draft(*analyse([str(path)], "y", folder=folder), DraftAnswers())


@pytest.mark.parametrize(
    ("zone", "carried"),
    [(BERLIN, "+01:00 and +02:00"), (KOLKATA, "+05:30"), ("America/New_York", "-05:00 and -04:00")],
)
def test_offsets_name_a_place_whose_clocks_had_them(
    tmp_path: Path, zone: str, carried: str
) -> None:
    """Its days begin at its midnight, which is another day in UTC."""
    days = pd.date_range("2021-03-01", periods=500, freq="D", tz=zone)
    made = with_offsets(tmp_path, [each.isoformat() for each in days])
    (finding,) = (each for each in made.findings if each.code == "offsets")
    assert carried in finding.message
    declared = parse_declaration(made.text, "orders.toml").time
    assert declared is not None
    there = days.tz_convert(declared.time_zone)
    assert (there.tz_localize(None) == days.tz_localize(None)).all()
    assert "# 2021-03-01 to 2022-07-13" in made.text


def test_a_typed_time_says_its_place(tmp_path: Path) -> None:
    """Parquet holds the name of the time zone."""
    made = with_offsets(tmp_path, pd.date_range("2021-03-01", periods=500, freq="D", tz=BERLIN))
    assert f'time_zone = "{BERLIN}"' in made.text


def test_offsets_of_several_places_are_said(tmp_path: Path) -> None:
    """No clocks had them all; those of UTC count."""
    days = pd.date_range("2021-03-01", periods=500, freq="D", tz=BERLIN)
    texts = [
        each.tz_convert(KOLKATA if place % 2 else BERLIN).isoformat()
        for place, each in enumerate(days)
    ]
    made = with_offsets(tmp_path, texts)
    (finding,) = (each for each in made.findings if each.code == "offsets")
    assert "several places" in finding.message
    assert 'time_zone = "UTC"' in made.text


def test_offsets_of_utc_are_no_finding(tmp_path: Path) -> None:
    """Neither Z nor +00:00."""
    days = pd.date_range("2021-03-01", periods=500, freq="6h", tz="UTC")
    for texts in (
        [f"{each:%Y-%m-%dT%H:%M:%S}Z" for each in days],
        [each.isoformat() for each in days],
    ):
        assert "offsets" not in {each.code for each in with_offsets(tmp_path, texts).findings}
