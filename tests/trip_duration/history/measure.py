"""Measure what the comparison of months catches, and write it down as a page of the docs.

python -m tests.trip_duration.history.measure docs/damaged-months.md

Takes a quarter of an hour. The published months come from MODEL_LOOP_TLC_FOLDER.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from scipy.stats import beta
from tests.trip_duration.history.fresh_kinds import FRESH_KINDS
from tests.trip_duration.history.kinds import KINDS, damaged, like_april_2020
from tests.trip_duration.history.months import (
    TABLE,
    generated,
    level_of,
    parts_of,
    published,
    sketch_of,
    verdict,
)

from model_loop.history.judging import judge_partition
from model_loop.history.sketch import Sketch
from trip_duration.months import parse_months

SHARES = (0.01, 0.05, 0.1, 0.5, 1.0)
PUBLISHED = ("2023-01", "2023-02", "2024-01", "2024-02", "2024-03", "2024-04")
_TRIPS = 20_000
_CITIES, _LATER = 40, 5
_SEEDS = {
    100: "Of {number} sound generated months, whose alarms were looked at when limits were set",
    900: "Of {number} further ones, which nobody has looked at",
}
_SIGNS = {"refused": "**refused**", "warning": "warning", "nothing": "nothing"}
Lines = Iterator[str]
_GROUPS = {
    "tuned": "Kinds that limits were set with",
    "judging": "Kinds that judged the limits at first",
    "fresh": "Kinds never seen when limits were set: now",
}
_WORDS = {
    _GROUPS["judging"]: "Their results were known when some of the limits were lowered later.",
    _GROUPS["fresh"]: (
        "They were written when the limits stood. The table below holds what their first run has "
        "found, before anything was changed; this one what is found now. Three general weaknesses "
        "were mended in between, known from that run: effects of single columns, hours of the "
        "week, and ratios that nothing moves. So this table is no independent proof; the first "
        "run is one."
    ),
}
_FIRST_RESULTS = Path(__file__).with_name("first_results.json")

_HEAD = """# Damaged months of trips

Written as a whole, by one state of the code, by `python -m tests.trip_duration.history.measure
docs/damaged-months.md` with the published months in `MODEL_LOOP_TLC_FOLDER`; one pair of months
and one seed for each cell. It takes a quarter of an hour, so no test holds that it is fresh;
`tests/trip_duration/history` holds the parts that matter.

A month can keep every rule of its [contract](broken-months.md) and still be wrong: distances in
kilometres, zones swapped, a part of the days. So each month is compared with the sound months
before it: of the same service and the same place, six at most, those of the same run included. It
is **refused** where a cause that has a name (another unit, another clock, swapped or shuffled
columns, a stale copy, a missing part, other codes) has altered a fifth of the rows or more, where
relations between columns are lost, where nothing is left of what a column was, or where a month has
fewer than a fiftieth of the rows that are usual. What is doubtful
is a **warning**: the run goes on, a mail says what was found and what it may come from, and the
page *Data* of the dashboard and the month's run in MLflow (`findings.json`) show it. A month that
is right as it is can be accepted, by month and code of the finding: `--accept "2024-02
another_unit"`, or the field *Accepted findings* of the form. The acceptance is recorded in the
lineage of everything that is made of the month.

How it works: while a month is checked, a sample of 16,384 rows over the whole file, exact counts
by the hour and 4,096 keys of rows are kept. The numbers, categories and times of a table, ratios
that are declared of it (`trip_duration/table.py`), and what a cheap model of each number leaves,
are counted in bins of history. A named cause is found by a matched filter: what it would make of
history is known, and so is how much of the change lies in that direction. The effect of each
column on each number, with the others known, is regressed on what it was; the hours of the week
are compared with those of other days; a ratio that neither demand nor traffic moves has to stay.
Limits grow with the variation between the weeks and months of history, with its age, and for a
partition that is shorter than a month. A part of a week is compared with the same days of the
week.

The first month of a place has no history. Medians of ratios, and rank correlations that the table
declares (`related`), have to be those of any sound month. What changes no relation, such as swapped
zones or another clock, is found when the next month is compared with it: the message says that
either side may be wrong.
"""


def main() -> None:
    """Measure, and write the page."""
    logging.disable(logging.WARNING)
    source = Path(os.environ["MODEL_LOOP_TLC_FOLDER"])
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            _HEAD,
            *_caught("published", _published_months(source), Path(folder)),
            *_caught("generated", _generated_months(), Path(folder)),
            *_first(_published_months(source), Path(folder)),
            *_lockdown(source, Path(folder)),
            *_generated_alarms(Path(folder)),
            *_published_alarms(source, Path(folder)),
        ]
    Path(sys.argv[1]).write_text("\n".join(lines) + "\n")


def _published_months(source: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return published(source, "2024-01"), published(source, "2024-02")


def _generated_months() -> tuple[pd.DataFrame, pd.DataFrame]:
    return generated("2024-01", _TRIPS, 3), generated("2024-02", _TRIPS, 3)


def _caught(what: str, months: tuple[pd.DataFrame, pd.DataFrame], folder: Path) -> Lines:
    """Yield the tables of one pair of months: the second one damaged, the first its history."""
    before, month = months
    history = [sketch_of(before, "2024-01", folder)]
    yield f"## Damage to a {what} month, with one month of history"
    for group, title in _GROUPS.items():
        rows: dict[str, list[str]] = {}
        for kind in (one for one in (*KINDS.values(), *FRESH_KINDS.values()) if one.group == group):
            damages = (damaged(kind, month, before, share, seed=5) for share in SHARES)
            rows[kind.title] = [_cell(trips, history, folder) for trips in damages]
        yield from _table(title, rows)
    first = json.loads(_FIRST_RESULTS.read_text())[what]
    yield from _table("Kinds never seen when limits were set: the first run", first)
    yield ""


def _first(months: tuple[pd.DataFrame, pd.DataFrame], folder: Path) -> Lines:
    """Yield the table of a published month that has no history."""
    before, month = months
    yield "## Damage to a published month without any history"
    yield from _table(
        "All kinds",
        {
            kind.title: [
                _cell(damaged(kind, month, before, share, seed=5), [], folder) for share in SHARES
            ]
            for kind in (*KINDS.values(), *FRESH_KINDS.values())
        },
    )
    yield ""


def _cell(trips: pd.DataFrame, history: Sequence[Sketch], folder: Path) -> str:
    level, findings = verdict(trips, "2024-02", history, folder)
    return f"{level} {findings[0].code}" if findings else level


def _table(title: str, rows: Mapping[str, Sequence[str]]) -> Lines:
    """Yield a table of kinds and shares, with the sums below it."""
    yield f"\n### {title}\n"
    if title in _WORDS:
        yield f"{_WORDS[title]}\n"
    yield "| What is wrong | " + " | ".join(f"{share:.0%} of rows" for share in SHARES) + " |"
    yield "| --- |" + " --- |" * len(SHARES)
    for kind, found in rows.items():
        yield f"| {kind} | " + " | ".join(map(_signed, found)) + " |"
    for words, levels in (("refused", ("refused",)), ("noticed", ("refused", "warning"))):
        sums = (
            sum(row[place].startswith(levels) for row in rows.values())
            for place in range(len(SHARES))
        )
        yield f"| **{words}** | " + " | ".join(f"{one} of {len(rows)}" for one in sums) + " |"


def _signed(cell: str) -> str:
    level, _, code = cell.partition(" ")
    return _SIGNS[level] + (f" `{code}`" if code else "")


def _lockdown(source: Path, folder: Path) -> Lines:
    """Yield the verdicts on months like April 2020."""
    found: Counter[str] = Counter()
    for before, month in (_published_months(source), _generated_months()):
        history = [sketch_of(before, "2024-01", folder)]
        found.update(
            verdict(like_april_2020(month, seed), "2024-02", history, folder)[0]
            for seed in range(10)
        )
    yield "## A month that is other for good reasons\n"
    yield (
        "Imitations of April 2020 (a tenth of the rows, another mix of zones and hours, a quarter "
        "of the passenger counts missing, longer trips in 28 % less time), of a published and of a "
        f"generated month: {_counted(found)}."
    )
    yield ""


def _generated_alarms(folder: Path) -> Lines:
    """Yield the false alarms of generated months: cities, seasons, growth, lengths of months."""
    yield "## False alarms\n"
    for seed, words in _SEEDS.items():
        yield _alarms_of_cities(seed, words, folder)


def _alarms_of_cities(seed: int, words: str, folder: Path) -> str:
    found: Counter[str] = Counter()
    first_months: Counter[str] = Counter()
    for city in range(_CITIES):
        first = parse_months(f"20{21 + city % 4}-{1 + city % 12:02}")[0]
        history: list[Sketch] = []
        for later in range(_LATER + 1):
            trips = round((2_000 + 500 * city) * 1.04**later)
            month = generated(str(first), trips, seed + city)
            sketch = sketch_of(month, str(first), folder)
            if history:
                found[level_of(judge_partition(TABLE, sketch, history))] += 1
            first_months[level_of(judge_partition(TABLE, sketch, []))] += 1
            history.append(sketch)
            first = first.next()
    return (
        f"\n{words.format(number=found.total())} ({_CITIES} cities, 2,000 to 26,000 trips, all "
        "seasons and lengths of months, growing by 4 % a month, after one to five months of "
        f"history): {_counted(found)}. {_bound(found)} The same without any history: "
        f"{_counted(first_months)}."
    )


def _published_alarms(source: Path, folder: Path) -> Lines:
    """Yield those of the published months, whole and in parts."""
    months = {month: published(source, month) for month in PUBLISHED}
    sketches = {month: sketch_of(trips, month, folder) for month, trips in months.items()}
    found: Counter[str] = Counter()
    names = list(sketches)
    for place, month in enumerate(names):
        for first in range(place):
            for last in range(first, place):
                history = [sketches[name] for name in names[first : last + 1]]
                found[level_of(judge_partition(TABLE, sketches[month], history))] += 1
        found[level_of(judge_partition(TABLE, sketches[month], []))] += 1
    yield (
        f"\nThe six published months, each after every run of earlier ones and after none "
        f"({found.total()} orders): {_counted(found)}."
    )
    if not found["refused"]:
        yield (
            f"They are {len(PUBLISHED)} months: with 95 % confidence at most "
            f"{upper_bound(0, len(PUBLISHED)):.1%} of such months are refused."
        )
    for days, words, before in ((7, "weeks", 4), (1, "days", 14)):
        parts = [list(parts_of(trips, month, days, folder)) for month, trips in months.items()]
        yield _parts_alarms(parts, words, before)


def _parts_alarms(months: Sequence[Sequence[Sketch]], words: str, before: int) -> str:
    found: Counter[str] = Counter()
    for parts in months:
        for place in range(1, len(parts)):
            history = parts[max(0, place - before) : place]
            found[level_of(judge_partition(TABLE, parts[place], history))] += 1
    return (
        f"\nTheir {words}, each after the {words} of the same month before it: {_counted(found)}. "
        f"{_bound(found)} The limits of short partitions were set with these."
    )


def _counted(found: Counter[str]) -> str:
    total = found.total()
    return (
        f"{found['refused']} of {total} refused, {found['warning']} with a warning, "
        f"{found['nothing']} with nothing"
    )


def _bound(found: Counter[str]) -> str:
    bounds = (
        f"at most {upper_bound(count, found.total()):.1%} {words}"
        for words, count in (
            ("are refused", found["refused"]),
            ("have a warning", found["refused"] + found["warning"]),
        )
    )
    return (
        f"With 95 % confidence {' and '.join(bounds)}, as far as they are independent "
        "(Clopper and Pearson)."
    )


def upper_bound(found: int, of: int) -> float:
    """Return the upper end of a one-sided confidence interval of a share."""
    return 1.0 if found == of else float(beta.ppf(0.95, found + 1, of - found))


if __name__ == "__main__":
    main()
