"""Findings about rows and columns that no table of the bench has, and their quiet counterparts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.literals import NO, YES, YES_NO
from model_loop.drafting.analysis import RefusedTableError, analyse
from model_loop.drafting.answers import DraftAnswers
from model_loop.drafting.checking import check_dataset
from model_loop.drafting.draft import Draft, draft
from model_loop.drafting.leaks import RankedFinding
from model_loop.tables.table import read_table

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


def repeated(folder: Path, of: dict[str, object]) -> tuple[str | None, Declaration]:
    """The entity that the draft of a table with repeated values asks for, and its declaration."""
    made, declaration = drafted(table(**of), folder)
    found = [finding for finding in made.findings if finding.code == "repeated_entities"]
    return (found[0].column if found else None), declaration


def test_entities_that_come_several_times_are_asked_for(tmp_path: Path) -> None:
    """By their name in any language, by the means of their targets, or by what they settle."""
    codes_of = np.repeat(np.arange(N // 8), 8)
    words = [f"p{code}" for code in codes_of]
    for name in ("patient", "Kundennr", "machine_id", "顧客"):
        column, declaration = repeated(tmp_path, {name: words})
        assert (column, declaration.split.group_on) == (name, name)
        # No value of it is in two parts: as a feature it would be noise.
        assert declaration.columns[name].type == "id"
    for sites in (words, codes_of + 700_000):
        column, declaration = repeated(tmp_path, {"Filialnr.": sites})
        assert (column, declaration.split.group_on) == ("Filialnr.", None)
        assert declaration.columns["Filialnr."].type == "category", "a number measures something"
    settled = np.random.default_rng(0).integers(0, 9, N // 8)[codes_of]
    assert repeated(tmp_path, {"who": words, "age": settled})[0] == "who"
    assert repeated(tmp_path, {"color": words})[0] is None
    assert repeated(tmp_path, {"Kunden": codes_of + 100})[0] is None
    frame = table(who=words)
    frame["y"] += np.random.default_rng(1).normal(0, 3, N // 8)[codes_of]
    made, declaration = drafted(frame, tmp_path)
    assert ("repeated_entities", "who") in codes(made)
    assert declaration.split.group_on is None


def test_the_question_about_all_columns_has_its_list_as_data(tmp_path: Path) -> None:
    """Ranked, each with its score and whether a finding names it; other findings have none."""
    frame = table(k=np.arange(N) % 7)
    made, _ = drafted(frame.assign(copy=frame.y * 2), tmp_path)
    (question,) = (each for each in made.findings if isinstance(each, RankedFinding))
    assert question.column is None
    listed = question.to_json()["columns"]
    assert [each["name"] for each in listed] == [*made.ranked]
    assert listed[0] == {"name": "copy", "score": 1.0, "raised": True}
    assert not any(each["raised"] for each in listed[1:])
    others = [each for each in made.findings if each is not question]
    assert others
    assert not any("columns" in each.to_json() for each in others)


def test_a_value_that_is_there_only_for_high_targets_is_raised(tmp_path: Path) -> None:
    """Its presence alone is known later; one that is missing at random is not raised."""
    frame = table(late=np.arange(N), often=np.arange(N) % 90)
    frame.loc[frame.y < 1, "late"] = np.nan
    frame.loc[np.arange(N) % 3 == 0, "often"] = np.nan
    made, declaration = drafted(frame, tmp_path)
    assert ("leak_suspected", "late") in codes(made)
    assert declaration.open_questions == ("columns.late.known",)


def test_an_equation_without_one_of_its_columns_asks_nothing(tmp_path: Path) -> None:
    """What is left of a product says little; a copy of the target stays open."""
    draw = np.random.default_rng(2)
    frame = table(count=draw.integers(1, 9, N), price=draw.gamma(3, 8, N).round(2))
    frame["y"] = (frame["count"] * frame.price).round(2)
    frame["cents"] = frame.y * 100
    _, declaration = drafted(frame, tmp_path)
    assert len(declaration.open_questions) == 3
    _, declaration = drafted(frame, tmp_path, DraftAnswers(known_later=("price",)))
    assert declaration.open_questions == ("columns.cents.known",)
    _, declaration = drafted(frame, tmp_path, DraftAnswers(known_later=("cents",)))
    assert len(declaration.open_questions) == 2


def test_sums_of_other_rows_are_set_aside_by_a_rule(tmp_path: Path) -> None:
    """And then the check has nothing to say of them."""
    frame = table(**{"the shop": [f"s{place % 9}" for place in range(N)]})
    total = {"x": frame.x.sum(), "the shop": "Total", "y": frame.y.sum()}
    made, declaration = drafted(pd.concat([frame, pd.DataFrame([total])]), tmp_path)
    assert ("aggregate_rows", "the shop") in codes(made)
    assert [rule.when for rule in declaration.rules] == ["`the shop` == 'Total'"]
    checked = check_dataset(declaration, [str(tmp_path / "table.csv")])
    assert "aggregate_rows" not in {finding.code for finding in checked.findings}


def test_the_decimal_sign_of_the_other_columns_decides(tmp_path: Path) -> None:
    """Thousands alone leave it open, and one question less is asked."""
    grouped = [f"{place % 9 + 1}.{place % 900 + 100}" for place in range(N)]
    frame = table(size=grouped)
    alone = frame.assign(x=1, y=range(N))
    (asked,) = (
        each for each in drafted(alone, tmp_path)[0].findings if each.code == "ambiguous_number"
    )
    assert "with '.' and with ','" in asked.message.replace("the decimal sign ", "with ", 1)
    sizes = [float(each) for each in grouped]
    assert f"makes them {min(sizes):g} to {max(sizes):g}" in asked.remedy
    made, declaration = drafted(frame, tmp_path)
    assert ("ambiguous_number", "size") not in codes(made)
    assert declaration.status == "ready"


def test_few_rows_rank_a_number_too(tmp_path: Path) -> None:
    """Bins of a single row each would say nothing."""
    frame = table().head(45)
    dose = np.random.default_rng(1).uniform(0, 10, len(frame))
    made, _ = drafted(frame.assign(x=0.5, dose=dose, y=3 * dose), tmp_path)
    (question,) = (each for each in made.findings if isinstance(each, RankedFinding))
    assert question.columns[0].name == "dose"
    assert question.columns[0].score > 0.5


def test_a_length_of_time_is_no_target(tmp_path: Path) -> None:
    """The refusal says how it becomes a number."""
    seconds = np.random.default_rng(0).integers(0, 86_400, N)
    lengths = [f"{each // 3600:02}:{each // 60 % 60:02}:{each % 60:02}" for each in seconds]
    with pytest.raises(RefusedTableError, match="lengths of time as numbers"):
        drafted(table().assign(y=lengths), tmp_path)


def test_long_whole_numbers_of_one_length_are_ids(tmp_path: Path) -> None:
    """Numbers of persons and articles; amounts of all lengths are none."""
    draw = np.random.default_rng(0)
    person = draw.choice(10**11, N, replace=False) % (9 * 10**10) + 10**10
    made, _ = drafted(table(a=person, b=np.exp(draw.normal(20, 3, N)).round()), tmp_path)
    assert (made.kinds["a"], made.kinds["b"]) == ("id", "number")


def codes(made: Draft) -> set[tuple[str, str | None]]:
    """Code and column of each finding."""
    return {(finding.code, finding.column) for finding in made.findings}


def test_a_far_date_stands_for_a_missing_one(tmp_path: Path) -> None:
    """Programs write the first or the last date that they know; rows are split by the others."""
    days = pd.Series(pd.date_range("2023-01-01", periods=N).strftime("%d.%m.%Y"))
    far = days.where(days.index % 110 > 0, "01.01.1900")
    made, declaration = drafted(table(day=far.where(far.index != 5, "31.12.9999")), tmp_path)
    assert ("sentinel", "day") not in codes(made)
    assert ("sentinel", "day") not in codes(drafted(table(day=days), tmp_path)[0])
    far = days.where(days.index % 40 > 0, "01.01.1900")
    made, declaration = drafted(table(day=far), tmp_path)
    assert ("sentinel", "day") in codes(made)
    assert "01.01.1900" in (declaration.columns["day"].missing_values or ())
    read = read_table(declaration, [str(tmp_path / "table.csv")]).frame["day"]
    assert (int(read.isna().sum()), read.min().year) == (10, 2023)


def test_a_sentinel_hides_no_copy_of_the_target(tmp_path: Path) -> None:
    """Near as it is to the values, or in nearly all rows: below zero, it is none of them."""
    frame = table()
    frame["y"] = (frame.y - frame.y.min() + 0.05).round(3)
    rows = np.random.default_rng(3).random(N)
    frame["gas"] = (frame.y * 1_000).round().where(rows > 0.05, -200)
    frame["old"] = frame.x.abs().mul(100).round().where(rows > 0.93, -200)
    frame["below"] = (frame.x * 1_000).round().where(rows > 0.05, -200)
    made, declaration = drafted(frame, tmp_path)
    assert {("sentinel", "gas"), ("sentinel", "old"), ("target_copy", "gas")} <= codes(made)
    assert ("sentinel", "below") not in codes(made), "-200 lies among its values"
    assert "gas" in made.open_columns
    assert declaration.status == "draft"


def test_a_column_that_varies_by_its_gaps_alone_is_said(tmp_path: Path) -> None:
    """They may say something, or be an accident."""
    made, declaration = drafted(table(seven=np.where(np.arange(N) % 50, 7.0, np.nan)), tmp_path)
    assert ("constant", "seven") in codes(made)
    assert declaration.columns["seven"].type == "number"


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


@pytest.mark.parametrize(
    ("sign", "words"),
    [(1, "at most 1, and the largest"), (-1, "at least -1, and the smallest")],
)
def test_a_long_tail_is_on_its_side(tmp_path: Path, sign: int, words: str) -> None:
    """Delays before the hour have it below."""
    tail = sign * (1 + 999 * np.linspace(0, 1, N) ** 20).round(2)
    made, _ = drafted(table().assign(y=tail), tmp_path)
    (finding,) = (each for each in made.findings if each.code == "target_skewed")
    assert words in finding.message
