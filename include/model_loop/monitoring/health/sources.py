"""Parts of the health that a server knows by itself: its request log, and what it has counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Engine, func, select

from model_loop.monitoring.health.types import RECENT_SECONDS, Answers, Traffic
from model_loop.serving.request_log.queries import count_lost
from model_loop.serving.request_log.tables import predictions

if TYPE_CHECKING:
    from model_loop.serving.service import PredictionService

QUANTILES = (0.5, 0.95, 0.99)
#: The latest answers whose latency is looked at.
_LATENCIES = 20_000


def traffic_of(engine: Engine, service: str, now: float) -> Traffic:
    """Read a service's recent traffic from the request log.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        If the database does not answer.
    """
    log = predictions.c
    recent = (log.service == service, log.at >= now - RECENT_SECONDS)
    latencies = select(log.latency_ms).where(*recent).order_by(log.at.desc()).limit(_LATENCIES)
    with engine.connect() as connection:
        seconds = np.asarray(connection.scalars(latencies).all()) / 1_000
        return Traffic(
            predictions=connection.scalar(select(func.count()).where(*recent)) or 0,
            latency={one: float(np.quantile(seconds, one)) for one in QUANTILES}
            if len(seconds)
            else {},
            latest=connection.scalar(
                select(log.at).where(log.service == service).order_by(log.at.desc()).limit(1)
            ),
            lost=count_lost(connection),
        )


def answers_of(service: PredictionService) -> Answers:
    """Return the counts of a server."""
    return Answers(service.metrics.by_status(), service.log.waiting)
