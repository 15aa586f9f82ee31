"""Broken months are refused or mended as `broken_months` says, and leave nothing behind."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import pytest
from tests.trip_duration.conftest import GREEN, JANUARY
from tests.trip_duration.contract.broken_months import (
    CASES,
    FEW,
    Case,
    Passes,
    Quarantined,
    Refused,
    TooMany,
    page,
)
from tests.trip_duration.contract.damage import (
    SoundMonth,
    published_month,
    put,
    repeated,
    sound_month,
    trips,
)

from trip_duration.cleaning import Selection, clean_month
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonth, CheckedMonthStore
from trip_duration.contract.quarantine import KEPT
from trip_duration.contract.rules import ALL_RULES, ContractLimits
from trip_duration.months import Month
from trip_duration.recipes import RECIPES
from trip_duration.sample_options import SampleOptions
from trip_duration.services import Service, get_service
from trip_duration.source.fetching import fetch_month, file_name

PAGE = Path(__file__).parents[3] / "docs" / "broken-months.md"
EVERYTHING = Selection(RECIPES["rich"].columns, CleaningRules(0.0, 1e9))
QUARANTINING = {rule.name for rule in ALL_RULES if rule.action != "keep"}

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


@functools.cache
def generated(service: str) -> SoundMonth:
    """A generated month without dirt."""
    return sound_month(get_service(service))


@pytest.fixture(scope="module")
def published(published_months: str) -> SoundMonth:
    """A month as TLC published it."""
    return published_month(GREEN, Path(published_months) / file_name(GREEN, JANUARY))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_generated_month(case: Case, tmp_path: Path) -> None:
    """A generated month that is broken in this way comes to what is expected."""
    judge(case, generated(case.service), tmp_path)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.published and case.service == GREEN.name],
    ids=lambda case: case.what,
)
def test_published_month(case: Case, published: SoundMonth, tmp_path: Path) -> None:
    """A published month that is broken in the same way comes to the same."""
    judge(case, published, tmp_path)


def judge(case: Case, sound: SoundMonth, folder: Path) -> None:
    """Spoil a month and check it."""
    months, storage = folder / "months", folder / "storage"
    months.mkdir()
    case.damage(sound, months / file_name(sound.service, JANUARY))
    if isinstance(case.outcome, Refused | TooMany):
        require_refused(case.outcome, sound.service, months, storage)
    else:
        require_accepted(case.outcome, check(months, storage, sound.service), storage)


def check(months: Path, storage: Path, service: Service, month: Month = JANUARY) -> CheckedMonth:
    """Fetch a month and check it, as a task does."""
    raw = fetch_month(
        str(months), service, month, str(storage), sample=SampleOptions(), timeout_seconds=1.0
    )
    return CheckedMonthStore(str(storage)).check(raw, service, ContractLimits())


def require_refused(
    outcome: Refused | TooMany, service: Service, months: Path, storage: Path
) -> None:
    """The error names the month, the reason and a remedy, and nothing is stored."""
    before = files(months)
    with pytest.raises(outcome.error) as caught:
        check(months, storage, service)
    assert str(JANUARY) in str(caught.value)
    assert service.name in str(caught.value)
    assert outcome.words in caught.value.rule
    assert "None" not in caught.value.rule
    assert caught.value.remedy.endswith(".")
    assert files(storage) == []
    assert files(months) == before


def require_accepted(outcome: Quarantined | Passes, month: CheckedMonth, storage: Path) -> None:
    """Exactly the expected rows are in quarantine, and everything else is used."""
    rules = outcome.rules if isinstance(outcome, Quarantined) else {}
    assert {count.rule for count in month.report.broken()} == set(rules)
    quarantine = month.load_quarantine()
    reasons = dict(zip(quarantine["row"], quarantine["reasons"], strict=True))
    if None in rules.values():
        assert set(reasons.values()) <= QUARANTINING & set(rules)
    else:
        assert reasons == expected_reasons(rules, month.report.rows)
    for rule, rows in rules.items():
        assert rows is None or month.report.rows_of(rule) == len(rows)
    if isinstance(outcome, Passes):
        assert set(outcome.further) <= set(month.report.further_columns)
    assert len(reasons) == month.report.quarantined
    assert files(storage) == kept_files(month)
    used = clean_month(month, get_service(month.raw.service), EVERYTHING)
    assert len(used) == month.report.rows - len(reasons)


def expected_reasons(rules: Mapping[str, Sequence[int] | None], rows: int) -> dict[int, str]:
    """The reasons of each row in quarantine, in the order of the rules."""
    reasons: dict[int, list[str]] = defaultdict(list)
    for rule in ALL_RULES:
        for row in rules.get(rule.name) or () if rule.name in QUARANTINING else ():
            reasons[row % rows].append(rule.name)
    return {row: ", ".join(names) for row, names in reasons.items()}


def files(folder: Path) -> list[str]:
    """Everything that is kept of checked months, whole or not."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    return sorted(str(path) for path in found if path.parts[0] == "products")


def kept_files(month: CheckedMonth) -> list[str]:
    """Give the files of a month that was accepted: entry, quarantine, sketch and profile."""
    assert month.sketch is not None
    assert month.profile is not None
    parts = [
        PurePosixPath(part.uri.removeprefix("file://")).name
        for part in (month.quarantine, month.sketch, month.profile)
    ]
    entry = parts[0].split("-quarantine")[0] + ".json"
    folder = f"products/months/{month.raw.service}/{month.raw.month}"
    return sorted(f"{folder}/{name}" for name in [entry, *parts])


def test_quarantine_holds_the_values_of_its_rows(tmp_path: Path) -> None:
    """A row in quarantine has its values, whether a rule or an earlier row put it there."""
    sound = generated(GREEN.name)
    spoil = trips(put("trip_distance", -1.0, FEW), repeated((7, 8)))
    spoil(sound, tmp_path / file_name(GREEN, JANUARY))
    quarantine = check(tmp_path, tmp_path / "storage", GREEN).load_quarantine()
    assert quarantine["row"].tolist() == [*FEW, 400, 401]
    origin = sound.table.to_pandas().iloc[[*FEW, 7, 8]]
    for ours, theirs in GREEN.columns.items():
        if ours in KEPT and ours != "trip_distance":
            assert quarantine[ours].tolist() == origin[theirs].tolist()


def test_there_are_many_ways_to_break_a_month() -> None:
    """No two of them have the same name."""
    assert len({case.what for case in CASES}) == len(CASES) > 50


def test_page_is_not_stale() -> None:
    """docs/broken-months.md says what the tests hold; `make docs` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page()


STRAYS = {"2023-01": 4, "2023-02": 26, "2024-01": 2, "2024-02": 6, "2024-03": 10, "2024-04": 4}


@pytest.mark.parametrize(("month", "strays"), STRAYS.items())
def test_published_months_pass(
    month: str, strays: int, published_months: str, tmp_path: Path
) -> None:
    """Of the published green months nothing but a few strays is in quarantine."""
    checked = check(Path(published_months), tmp_path, GREEN, Month.parse(month))
    quarantine = checked.load_quarantine()
    assert quarantine["reasons"].tolist() == ["stray_pickup"] * strays
    assert (checked.report.set_aside, checked.report.dropped) == (strays, 0)
