"""Every broken month is refused or set aside for the right reason, and leaves nothing half done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.trips.conftest import GREEN, fetch
from tests.trips.contract.broken_months import BROKEN_MONTHS, BrokenMonth, page

from trip_duration.errors import ContractError
from trip_duration.trips.contract.checked import CheckedMonth, CheckedMonthStore
from trip_duration.trips.contract.rules import Limits
from trip_duration.trips.months import Month
from trip_duration.trips.sample import Dirt, SampleOptions
from trip_duration.trips.source import fetch_month

pytestmark = pytest.mark.filterwarnings("error")

NAME = "green_tripdata_2024-01.parquet"
STRAYS = {
    "2023-01": 4,
    "2023-02": 26,
    "2024-01": 2,
    "2024-02": 6,
    "2024-03": 10,
    "2024-04": 4,
}


def check(folder: Path) -> CheckedMonth:
    """Check the month of a folder."""
    storage = folder / "storage"
    return CheckedMonthStore(str(storage)).check(fetch(str(folder), storage), GREEN, Limits())


def products(folder: Path) -> list[str]:
    """What is kept of checked months."""
    return sorted(path.name for path in (folder / "storage" / "products").rglob("*.*"))


def require_outcome(broken: BrokenMonth, folder: Path) -> None:
    """Check the month of a folder, and what becomes of it."""
    if broken.outcome == "refused":
        with pytest.raises(ContractError) as caught:
            check(folder)
        assert "Month 2024-01 of green" in str(caught.value)
        assert broken.reason in caught.value.rule
        assert caught.value.remedy.endswith(".")
        assert products(folder) == []
        return
    month = check(folder)
    assert len(products(folder)) == 2
    quarantine = month.load_quarantine()
    if broken.outcome == "passes":
        assert quarantine.empty
        assert not broken.reason or month.report.rows_of(broken.reason) > 0
        return
    assert broken.reason in quarantine.reasons.iloc[0]
    expected = month.report.rows_of(broken.reason) if broken.rows is None else broken.rows
    assert month.report.quarantined == len(quarantine) == expected > 10
    assert quarantine.reasons.str.contains(broken.reason).all()
    assert np.all(np.diff(quarantine.row) > 0)


@pytest.mark.parametrize("broken", BROKEN_MONTHS, ids=lambda broken: broken.what)
def test_generated(broken: BrokenMonth, tmp_path: Path) -> None:
    """A generated month that is damaged."""
    broken.write(tmp_path / NAME)
    require_outcome(broken, tmp_path)


@pytest.mark.real_months
@pytest.mark.parametrize(
    "broken",
    # Dirt is made by the generator.
    [
        one
        for one in BROKEN_MONTHS
        if one.dirt == Dirt() and (one.content is not None or one.outcome == "refused")
    ],
    ids=lambda broken: broken.what,
)
def test_published(broken: BrokenMonth, tlc_folder: str, tmp_path: Path) -> None:
    """Two thousand trips of a published month, damaged in the same way."""
    table = pq.read_table(Path(tlc_folder) / NAME)
    # Some way in, where there are neither strays nor long trips.
    broken.write(tmp_path / NAME, table[20_000:22_000])
    require_outcome(broken, tmp_path)


def test_there_are_enough() -> None:
    """Every case has a name of its own, and there are at least forty."""
    assert len({broken.what for broken in BROKEN_MONTHS}) == len(BROKEN_MONTHS) >= 40


def test_page_is_not_stale() -> None:
    """docs/broken-months.md is what `make docs` writes."""
    path = Path(__file__).parents[3] / "docs" / "broken-months.md"
    assert path.read_text(encoding="utf-8") == page()


@pytest.mark.real_months
@pytest.mark.parametrize(("month", "strays"), STRAYS.items())
def test_published_months_pass(month: str, strays: int, tlc_folder: str, tmp_path: Path) -> None:
    """Every published month passes, with its strays in quarantine and nothing else."""
    raw = fetch_month(
        tlc_folder,
        GREEN,
        Month.parse(month),
        str(tmp_path),
        sample=SampleOptions(),
        timeout_seconds=1,
    )
    report = CheckedMonthStore(str(tmp_path)).check(raw, GREEN, Limits()).report
    assert {count.rule: count.rows for count in report.broken()} == {
        "stray_pickup": strays,
        "implausible_distance": report.rows_of("implausible_distance"),
    }
    assert report.quarantined == report.set_aside == strays
