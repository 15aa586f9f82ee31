"""The steps of the DAGs that compare months with the months before them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from tests.dashboard.conftest import Documents, MakeSources, make_sources
from tests.servers import tracking_database
from tests.trip_duration.history.test_history import (
    SIGHTINGS,
    first_week,
    published,
    spoiled,
)

from model_loop.alerts.types import Alert
from model_loop.dashboard.page import Page
from model_loop.dashboard.pages import PAGES
from model_loop.dashboard.runs import Runs
from model_loop.errors import ModelLoopError
from model_loop.findings import RefusedPartitionError
from model_loop.orchestration.conventions import retry_policy
from model_loop.orchestration.forms import preparation_form
from model_loop.orchestration.steps import partition_log, preparation
from model_loop.settings import get_settings
from trip_duration import batches
from trip_duration.dataset import TRIPS
from trip_duration.decoding import decode
from trip_duration.source.types import RawMonth

__all__ = ["make_sources", "published"]

RUN = SimpleNamespace(dag_id="data_preparation", run_id="manual")


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Alert]]:
    """Settings with a storage of their own; what is announced is collected."""
    alerts: list[Alert] = []
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", f"file://{tmp_path}/storage")
    monkeypatch.setenv("MODEL_LOOP_ALLOWED_SOURCES", "*")
    # MLflow puts the artifacts of a new experiment into the folder that one is in.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", tracking_database(tmp_path / "tracking.db"))
    monkeypatch.setattr(preparation, "announce", alerts.append)
    get_settings.cache_clear()
    yield alerts
    get_settings.cache_clear()


def form(source: Path, **changes: Any) -> dict[str, Any]:
    """The form of `data_preparation`, with a folder as its source."""
    values = {name: param.resolve() for name, param in preparation_form(TRIPS).items()}
    return values | {"source": str(source), "test_months": []} | changes


class Event:
    """Stands for the event of an asset, which Airflow keeps."""

    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}
        self.keys: list[str] = []

    def add_partitions(self, keys: list[str]) -> None:
        """Note partitions."""
        self.keys += keys


def compared(params: dict[str, Any]) -> tuple[list[Any], Any]:
    """The steps from the form to the comparison; also the event of the months."""
    event = Event()
    events: Any = defaultdict(lambda: event)
    months = [
        preparation.check_partitions(preparation.fetch_partitions(month, params))
        for month in preparation.plan_partitions(params)
    ]
    return preparation.compare_partitions(months, params, events, RUN), event.keys


def test_a_refused_month_fails_the_run(published: Path, tmp_path: Path, told: list[Alert]) -> None:
    """The step fails with an error that is not retried, and nothing is announced as usable."""
    damage, code = SIGHTINGS["zones swapped"]
    source = spoiled(published, tmp_path / "months", damage)
    with pytest.raises(RefusedPartitionError, match=code) as caught:
        compared(form(source))
    assert isinstance(caught.value, ModelLoopError)
    assert {rule.exception for rule in retry_policy().rules} >= {ModelLoopError}
    assert told == []


@pytest.mark.usefixtures("told")
def test_each_month_is_decoded_twice(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps decode a month for its check, which profiles it, and for its matrices."""
    readings: list[str] = []

    def noted(raw: RawMonth, *given: Any) -> Any:
        readings.append(raw.month)
        return decode(raw, *given)

    monkeypatch.setattr(batches, "decode", noted)
    params = form(published)
    for recipe, times in (("pair_distance", 2), ("rich", 1)):
        readings.clear()
        asked = params | {"recipe": recipe}
        verdicts, _ = compared(asked)
        for verdict in verdicts:
            partition_log.log_partition(verdict)
        built = preparation.encode_partitions(verdicts, asked)
        # A month that was checked before is not checked again.
        assert sorted(readings) == sorted(times * [raw.month for raw in built.files])


def seen_on_page(make_sources: MakeSources, month: str) -> Page:
    """Return the page *Data* of a month, from what the tracking server holds."""
    settings = get_settings()
    runs = Runs(MlflowClient(settings.tracking_uri), settings.experiment)
    months = runs.partitions("green")
    documents = {
        f"{one.run_id}/{one.findings}": runs.numbers(one.run_id, one.findings) for one in months
    }
    sources = make_sources(Documents(documents), partitions=months)
    return PAGES["data"](sources, {"month": month})


def rows_of(page: Page, name: str) -> list[Sequence[Any]]:
    """Return the rows of one of its tables."""
    return list(next(chart for chart in page.charts if chart.name == name).table.rows)


@pytest.mark.parametrize("broken", [False, True], ids=["by comparison", "by contract"])
def test_a_refused_month_is_seen_on_the_dashboard(
    published: Path, tmp_path: Path, told: list[Alert], make_sources: MakeSources, *, broken: bool
) -> None:
    """The page *Data* says that a month is refused, why, and what to do."""
    damage, code = SIGHTINGS["kilometres"]
    if broken:
        code = "contract"

        def damage(trips: pd.DataFrame) -> pd.DataFrame:
            return trips.drop(columns="trip_distance")

    source = spoiled(published, tmp_path / "months", damage)
    with pytest.raises(RefusedPartitionError, match=r"cannot be learned from|lacks the column"):
        compared(form(source))
    page = seen_on_page(make_sources, "2024-02")
    found = {row[1]: row for row in rows_of(page, "findings")}
    level, _, _, message, remedy = found[code]
    assert level == "refused"
    assert ("lacks the column trip_distance" if broken else "another unit") in message
    assert remedy
    (line,) = [row for row in rows_of(page, "partitions") if row[0] == "2024-02"]
    assert line[-1] == "refused"
    assert [row[0] for row in rows_of(page, "rows_by_partition")] == []
    assert ("Refused", "1", "2024-02") in {
        (card.label, card.value, card.detail) for card in page.cards
    }
    assert told == []


def test_a_month_that_was_accepted_is_refused_no_longer(
    published: Path, tmp_path: Path, told: list[Alert], make_sources: MakeSources
) -> None:
    """The same file, accepted later, is shown as such, with the findings of then."""
    source = spoiled(published, tmp_path / "months", first_week)
    with pytest.raises(RefusedPartitionError, match="part_of_partition"):
        compared(form(source))
    verdicts, _ = compared(form(source, accepted_findings=["2024-02 part_of_partition"]))
    for verdict in verdicts:
        partition_log.log_partition(verdict)
    page = seen_on_page(make_sources, "2024-02")
    levels = {row[1]: row[0] for row in rows_of(page, "findings")}
    assert levels["part_of_partition"] == "warning"
    assert {row[-1] for row in rows_of(page, "partitions")} == {""}
    assert len(told) == 1


def test_a_doubt_is_told_and_recorded(published: Path, tmp_path: Path, told: list[Alert]) -> None:
    """An accepted month is learned from; somebody is told, and the training set says so."""
    source = spoiled(published, tmp_path / "months", first_week)
    params = form(source, accepted_findings=["2024-02 part_of_partition"])
    verdicts, partitions = compared(params)
    assert partitions == ["green|2024-01", "green|2024-02"]
    (alert,) = told
    assert (alert.kind, "2024-02" in alert.subject) == ("data", True)
    assert alert.table is not None
    assert "part_of_partition" in {row[1] for row in alert.table.rows}
    request = preparation.encode_partitions(verdicts, params).request
    assert request.accepted_findings == ("2024-02 part_of_partition",)


def test_sound_months_are_compared_silently(published: Path, told: list[Alert]) -> None:
    """Nobody is told of months that are as usual."""
    verdicts, _ = compared(form(published))
    assert [verdict.findings for verdict in verdicts] == [(), ()]
    assert told == []
