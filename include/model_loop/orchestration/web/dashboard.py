"""The dashboard inside Airflow's api-server: what it may ask, and who may press its buttons."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from airflow.models.dag import DagTag
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import case, func, select

from model_loop.background_cache import BackgroundCache
from model_loop.dashboard.app import Allowed, Dashboard, Right
from model_loop.dashboard.page_data import PageSources, pages_of
from model_loop.dashboard.types import DagDay, DagRuns, LastRun
from model_loop.datasets.registry import dataset_of_variant, sound_datasets
from model_loop.monitoring.levels import thresholds_of
from model_loop.orchestration.conventions import Tag
from model_loop.orchestration.names import PREDICTION, PROMOTION, dag_id_of
from model_loop.orchestration.web.health import dag_health, health_parts
from model_loop.orchestration.web.login import Method, authenticate
from model_loop.serving.comparison.report import ab_report
from model_loop.serving.http.requests import RequestRefusedError
from model_loop.serving.service import PredictionService

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Scope

    from model_loop.dashboard.worker_queries import WorkerQueries
    from model_loop.datasets.dataset import Dataset
    from model_loop.monitoring.health.parts import HealthParts
    from model_loop.serving.http.server import Services
    from model_loop.settings import Settings

#: Seconds for which a cached answer is fresh; an older one is returned while it is refreshed.
_RUNS_SECONDS, _REGISTRY_SECONDS, _AIRFLOW_SECONDS = 45.0, 1.0, 10.0
_DAYS = 30
#: Job of the dataset's DAG, and how it has to be accessible, by the right on its pages.
_ACCESS: Mapping[Right, tuple[str, Method]] = MappingProxyType(
    {"look": (PREDICTION, "GET"), "ask": (PREDICTION, "POST"), "promote": (PROMOTION, "POST")}
)


async def allowed_datasets(
    scope: Scope, right: Right, datasets: Sequence[Dataset]
) -> frozenset[str]:
    """Return the names of the datasets that Airflow's user of a request has a right on.

    Users who may trigger a dataset's DAG of promotions may move its versions; those who may trigger
    its DAG of predictions may ask its models, and those who may see its runs may look.
    """
    job, method = _ACCESS[right]
    names = []
    for dataset in datasets:
        try:
            await authenticate(scope, dag_id_of(dataset, job), method)
        except RequestRefusedError:
            continue
        names.append(dataset.name)
    return frozenset(names)


async def name_of_user(scope: Scope) -> str:
    """Return the name of Airflow's user, who may look at the pages of at least one dataset.

    Raises
    ------
    RequestRefusedError
        If nobody is logged in (401), or the role allows it for none (403).
    """
    job, method = _ACCESS["look"]
    refusal: RequestRefusedError | None = None
    for dataset in sound_datasets():
        try:
            return await authenticate(scope, dag_id_of(dataset, job), method)
        except RequestRefusedError as error:
            refusal = refusal or error
    assert refusal is not None, "there is no dataset"
    raise refusal


def make_dashboard(
    services: Services,
    settings: Settings,
    health: HealthParts,
    queries: WorkerQueries,
    allowed: Allowed = allowed_datasets,
) -> ASGIApp:
    """Make the pages of all datasets; they are mounted behind a login.

    Parameters
    ----------
    health
        Health of the default service.
    allowed
        Rights of the user of a request.
    """
    always, default = math.inf, services.default
    paths = {
        one.service: path
        for path, one in services.others.items()
        if isinstance(one, PredictionService)
    }
    paths[default.service] = ""
    served = {
        one.service: one
        for one in (*services.others.values(), default)
        if isinstance(one, PredictionService)
    }
    dags = BackgroundCache(dag_runs, _AIRFLOW_SECONDS, always)

    def sources_of(key: str) -> PageSources:
        service = served.get(key)
        own = health
        if key != default.service:
            own = health_parts(service or default, queries, key)
        return PageSources(
            service=key,
            runs=queries,
            families=BackgroundCache(lambda: queries.families(key), _RUNS_SECONDS, always),
            partitions=BackgroundCache(lambda: queries.partitions(key), _RUNS_SECONDS, always),
            registry=BackgroundCache(lambda: queries.registry(key), _REGISTRY_SECONDS, always),
            windows=BackgroundCache(lambda: queries.windows(key), _RUNS_SECONDS, always),
            live=BackgroundCache(
                lambda: ab_report(
                    default.log.engine,
                    key,
                    service.live.moment_of if service else _unknown,
                    moves=service.live.moves if service else tuple,
                    unit_of=service.live.unit_of if service else _unknown,
                ),
                _AIRFLOW_SECONDS,
                always,
            ),
            dags=dags,
            health=BackgroundCache(own.look, _AIRFLOW_SECONDS, always),
            thresholds=thresholds_of(settings),
            pages=pages_of(dataset_of_variant(key), settings),
            predict=f"{paths[key]}/predict".lstrip("/") if service else "",
            trained=(lambda: service.answering) if service else None,
        )

    dashboard = Dashboard(default.service, sources_of, served, allowed)
    # The first caller starts the load; the others wait for the rest of it.
    dashboard.sources_of(default.service).begin()
    return dashboard.app()


def _unknown(_version: int) -> None:
    """Return no moment: nothing is known of versions that this server does not load."""


def dag_runs() -> DagRuns:
    """Count the runs of this package's DAGs; for the api-server.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        If the database does not answer.
    """
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=_DAYS)
    ours = select(DagTag.dag_id).where(DagTag.name == Tag.MODEL_LOOP)
    ended = (DagRun.state.in_([DagRunState.SUCCESS, DagRunState.FAILED]), DagRun.dag_id.in_(ours))
    day = func.date(DagRun.end_date)
    succeeded, failed = (
        func.sum(case((DagRun.state == state, 1), else_=0))
        for state in (DagRunState.SUCCESS, DagRunState.FAILED)
    )
    by_day = (
        select(DagRun.dag_id, day, succeeded, failed)
        .where(*ended, DagRun.end_date >= since)
        .group_by(DagRun.dag_id, day)
        .order_by(DagRun.dag_id, day)
    )
    latest = (
        select(DagRun.dag_id, func.max(DagRun.end_date).label("at"))
        .where(*ended)
        .group_by(DagRun.dag_id)
        .subquery()
    )
    last = select(DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.end_date).join(
        latest, (latest.c.dag_id == DagRun.dag_id) & (latest.c.at == DagRun.end_date)
    )
    failing = {one.dag_id: one.failed_since for one in dag_health() if one.failed_since}
    # Airflow's other sessions of this thread are not ours.
    with create_session(scoped=False) as session:
        days = session.execute(by_day).all()
        runs = session.execute(last).all()
    return DagRuns(
        days=tuple(DagDay(dag_id, str(on), int(well), int(ill)) for dag_id, on, well, ill in days),
        last=tuple(
            LastRun(dag_id, run_id, str(state), at.timestamp())
            for dag_id, run_id, state, at in runs
        ),
        failing=failing,
    )
