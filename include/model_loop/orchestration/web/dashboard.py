"""The dashboard inside Airflow's api-server: what it may ask, and who may press its buttons."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING

from airflow.models.dag import DagTag
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import case, func, select

from model_loop.background_cache import BackgroundCache
from model_loop.dashboard.app import Dashboard
from model_loop.dashboard.known import PageSources
from model_loop.dashboard.types import DagDay, DagRuns, LastRun
from model_loop.monitoring.levels import thresholds_of
from model_loop.orchestration.conventions import Tag
from model_loop.orchestration.web.health import dag_health
from model_loop.orchestration.web.login import authenticate
from model_loop.serving.comparison.report import ab_report
from model_loop.serving.http.requests import RequestRefusedError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Scope

    from model_loop.dashboard.questions import Questions
    from model_loop.monitoring.health.parts import HealthParts
    from model_loop.serving.service import PredictionService
    from model_loop.settings import Settings

#: Seconds for which what was looked up is good; what is older is told while it is looked up anew.
_RUNS_SECONDS, _REGISTRY_SECONDS, _AIRFLOW_SECONDS = 45.0, 1.0, 10.0
_DAYS = 30


def make_dashboard(
    service: PredictionService, settings: Settings, health: HealthParts, questions: Questions
) -> ASGIApp:
    """The pages; they are mounted behind the guard of the prediction application."""
    name = service.service
    always = math.inf
    sources = PageSources(
        service=name,
        runs=questions,
        families=BackgroundCache(questions.families, _RUNS_SECONDS, always),
        months=BackgroundCache(questions.months, _RUNS_SECONDS, always),
        registry=BackgroundCache(lambda: questions.registry(name), _REGISTRY_SECONDS, always),
        windows=BackgroundCache(lambda: questions.windows(name), _RUNS_SECONDS, always),
        live=BackgroundCache(
            lambda: ab_report(service.log.engine, name, service.live.moment_of),
            _AIRFLOW_SECONDS,
            always,
        ),
        dags=BackgroundCache(dag_runs, _AIRFLOW_SECONDS, always),
        health=BackgroundCache(health.look, _AIRFLOW_SECONDS, always),
        thresholds=thresholds_of(settings),
        tracking_url=settings.tracking_uri,
        zone_file=settings.dashboard_zone_file,
    )
    # The first caller starts the load; the others wait for the rest of it.
    sources.begin()
    return Dashboard(sources, service, questions, may_promote).app()


async def may_promote(scope: Scope) -> bool:
    """Return whether the user may trigger the DAG that moves versions."""
    try:
        await authenticate(scope, "promotion", "POST")
    except RequestRefusedError:
        return False
    return True


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
