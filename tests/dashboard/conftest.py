"""Pages over what the tests say that there is."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pytest

from model_loop.background_cache import BackgroundCache
from model_loop.dashboard.app import Dashboard, Right
from model_loop.dashboard.page_data import PARTS, PageSources, pages_of
from model_loop.dashboard.types import (
    DagRuns,
    FamilyRun,
    LearnedColumn,
    RegistryState,
    TrialRun,
    VersionRow,
)
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import dataset_of_variant
from model_loop.monitoring.health.types import ServiceHealth
from model_loop.monitoring.levels import thresholds_of
from model_loop.serving.comparison.report import AbReport
from model_loop.settings import Settings
from model_loop.tracking.deployments import Deployment
from trip_duration.settings import TripSettings

RUN = FamilyRun(
    run_id="1" * 32,
    pipeline="xgboost_training",
    dag_run="manual__1",
    family="xgboost",
    service="green",
    recipe="rich native",
    source="sample",
    status="FINISHED",
    started=1_700_000_000.0,
    metrics={"test_rmse": 4.5, "test_mse": 20.25, "validation_rmse": 4.4},
    settings={"max_depth": "6"},
)
REGISTRY = RegistryState(
    {"booked": Deployment(champion=3), "ended": Deployment()},
    (VersionRow(3, RUN.run_id, "xgboost", 1_700_000_100.0),),
)
EMPTY: Mapping[str, Any] = {
    "families": (),
    "partitions": (),
    "registry": RegistryState(),
    "windows": (),
    "live": AbReport((), ()),
    "dags": DagRuns(),
    "health": ServiceHealth("green", 1_700_000_000.0),
}


@dataclasses.dataclass
class Documents:
    """Stands for the tracking server: nothing but what it is given."""

    found: dict[str, Any] = dataclasses.field(default_factory=dict)
    kept_trials: tuple[TrialRun, ...] = ()
    kept_columns: dict[str, LearnedColumn] = dataclasses.field(default_factory=dict)

    def numbers(self, run_id: str, path: str) -> Any:
        """A document in JSON."""
        return self.found.get(f"{run_id}/{path}")

    def learned(self, _service: str, _version: str) -> Any:
        """Columns of the training rows of any version."""
        return self.kept_columns

    def trials(self, _run_id: str) -> tuple[TrialRun, ...]:
        """Trials of any run."""
        return self.kept_trials


MakeSources = Callable[..., PageSources]
Rights = Mapping[Right, Collection[str]]
#: Each right on every dataset.
ALL: Rights = {}


def dashboard_of(
    sources: PageSources,
    rights: Rights = ALL,
) -> Dashboard:
    """Return the pages of one variant, the default one.

    Parameters
    ----------
    rights
        Names of the datasets by the right on them; a right that is not named is on all of them.
    """

    async def allowed(_: Any, right: Right, datasets: Sequence[Dataset]) -> frozenset[str]:
        names = {one.name for one in datasets}
        return frozenset(names & {*rights[right]} if right in rights else names)

    def make(key: str) -> PageSources:
        assert key == sources.service
        return sources

    return Dashboard(sources.service, make, {}, allowed)


@pytest.fixture
def make_sources() -> MakeSources:
    """Makes sources that know the given parts, and nothing of the others."""

    def make(
        documents: Documents | None = None,
        zone_file: str = "",
        variant: str = "green",
        **parts: Any,
    ) -> PageSources:
        values = {**EMPTY, **parts}
        prepared: dict[str, Any] = {
            name: BackgroundCache(functools.partial(values.__getitem__, name), 1e6)
            for name in PARTS
        }
        sources = PageSources(
            service=variant,
            runs=documents or Documents(),  # type: ignore[arg-type]  # the same methods
            thresholds=thresholds_of(Settings()),
            pages=pages_of(
                dataset_of_variant(variant), TripSettings(dashboard_zone_file=zone_file)
            ),
            predict="predict",
            **prepared,
        )
        sources.begin()
        deadline = time.monotonic() + 10
        while any(part.loading for part in prepared.values()):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        return sources

    return make
