"""Health of the DAGs, and of the service inside Airflow's api-server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airflow.models.dag import DagModel, DagTag
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import and_, func, or_, select

from model_loop.background_cache import BackgroundCache
from model_loop.monitoring.health import sources
from model_loop.monitoring.health.parts import HealthParts
from model_loop.monitoring.health.types import DagHealth
from model_loop.orchestration.conventions import Tag

if TYPE_CHECKING:
    from model_loop.dashboard.worker_queries import WorkerQueries
    from model_loop.serving.service import PredictionService

#: Seconds for which what is kept in stores is known: products do not change by the second.
_PRODUCTS_SECONDS = 60.0
#: Seconds for which answers of the registry and of Airflow's database are cached.
_SECONDS = 15.0


def health_parts(
    service: PredictionService, queries: WorkerQueries, variant: str = ""
) -> HealthParts:
    """Return the sources of a service's health; nothing is looked up yet.

    Parameters
    ----------
    variant
        Variant whose health it is; that of the service by default.
    """
    key = variant or service.service
    return HealthParts(
        service=key,
        traffic=BackgroundCache(lambda: sources.traffic_of(service.log.engine, key, time.time())),
        answers=BackgroundCache(lambda: sources.answers_of(service)),
        champion=BackgroundCache(lambda: queries.champion(key), _SECONDS),
        products=BackgroundCache(queries.products, _PRODUCTS_SECONDS),
        dags=BackgroundCache(dag_health, _SECONDS),
    )


def dag_health() -> tuple[DagHealth, ...]:
    """Return the state of this package's DAGs; for the api-server, beside Airflow's database.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        If the database does not answer.
    """
    successes = (
        select(DagRun.dag_id, func.max(DagRun.end_date).label("at"))
        .where(DagRun.state == DagRunState.SUCCESS)
        .group_by(DagRun.dag_id)
        .subquery()
    )
    failed = and_(
        DagRun.dag_id == DagModel.dag_id,
        DagRun.state == DagRunState.FAILED,
        or_(successes.c.at.is_(None), DagRun.end_date > successes.c.at),
    )
    query = (
        select(DagModel.dag_id, DagModel.is_paused, successes.c.at, func.count(DagRun.id))
        .join(DagTag, DagTag.dag_id == DagModel.dag_id)
        .outerjoin(successes, successes.c.dag_id == DagModel.dag_id)
        .outerjoin(DagRun, failed)
        .where(DagTag.name == Tag.MODEL_LOOP, DagModel.is_stale.is_(False))
        .group_by(DagModel.dag_id, DagModel.is_paused, successes.c.at)
        .order_by(DagModel.dag_id)
    )
    # Airflow's other sessions of this thread are not ours.
    with create_session(scoped=False) as session:
        return tuple(
            DagHealth(dag_id, bool(paused), at.timestamp() if at else None, count)
            for dag_id, paused, at, count in session.execute(query)
        )
