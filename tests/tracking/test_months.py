"""A month on a real MLflow server."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from tests.trip_duration.conftest import GREEN, JANUARY, fetch

from model_loop.tracking.names import FIGURES
from model_loop.tracking.runs import Tracker
from trip_duration.contract.checked import CheckedMonth, CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.sample import write_month
from trip_duration.sample_options import Corruption, SampleOptions
from trip_duration.tracked_months import log_month

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> CheckedMonth:
    """A checked month with strays."""
    folder = tmp_path_factory.mktemp("month")
    options = SampleOptions(trips=1_000, dirt=Corruption(stray_share=0.02))
    write_month(folder / "green_tripdata_2024-01.parquet", GREEN, JANUARY, options)
    return CheckedMonthStore(str(folder)).check(fetch(str(folder), folder), GREEN, ContractLimits())


def test_month_is_logged_with_everything(
    tracker: Tracker, month: CheckedMonth, tmp_path: Path
) -> None:
    """Report, quarantine, profile, tables and charts are there, and the way back to the file."""
    profile = month.load_profile()
    run_id = log_month(tracker, month)
    run = tracker.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["partition"] == "green|2024-01"
    assert run.data.tags["data_source"] == "sample"
    assert run.data.metrics["rows_quarantined"] == month.report.quarantined > 5
    assert run.data.metrics["broken_stray_pickup"] == month.report.quarantined
    assert run.inputs is not None
    assert run.inputs.dataset_inputs[0].dataset.digest == month.raw.digest[:36]
    folder = Path(tracker.client.download_artifacts(run_id, "", str(tmp_path)))
    assert "<h1>green 2024-01</h1>" in (folder / FIGURES).read_text()
    assert json.loads((folder / "profile.json").read_text())["trips"] == profile.trips
    assert len(pd.read_parquet(folder / "quarantine.parquet")) == month.report.quarantined
    assert "stray_pickup" in (folder / "report.txt").read_text()
    days = pd.read_csv(folder / "tables" / "trips_per_day.csv")
    assert days.trips.sum() == profile.trips


def test_month_is_logged_once(tracker: Tracker, month: CheckedMonth) -> None:
    """The same content again is the same run."""
    assert log_month(tracker, month) == log_month(tracker, month)
