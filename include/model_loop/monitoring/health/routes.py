"""The health over HTTP, beside the routes of the prediction server."""

from __future__ import annotations

import asyncio

import msgspec

from model_loop.monitoring.health.exposition import exposition
from model_loop.monitoring.health.parts import HealthParts
from model_loop.serving.http.app import Extension
from model_loop.serving.http.asgi import Call, Reply
from model_loop.serving.http.openapi import Operation

_PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"


def health_routes(parts: HealthParts) -> tuple[Extension, ...]:
    """``GET /health`` and ``GET /health/metrics``."""

    async def health(_call: Call) -> Reply:
        found = await asyncio.to_thread(parts.look)
        return Reply(msgspec.json.encode(found))

    async def health_metrics(_call: Call) -> Reply:
        found = await asyncio.to_thread(parts.look)
        return Reply(exposition(found), content_type=_PROMETHEUS)

    return (
        Extension(
            Operation(
                "health",
                "/health",
                "GET",
                "Tell how the service is. Traffic, champion, data products and DAGs; a part that "
                "cannot be had is null, and `problems` says why. A few seconds old at most.",
                {"application/json": {"schema": {"type": "object"}}},
            ),
            health,
        ),
        Extension(
            Operation(
                "health_metrics",
                "/health/metrics",
                "GET",
                "Give the health to Prometheus. In its text format.",
                {"text/plain": {"schema": {"type": "string"}}},
            ),
            health_metrics,
        ),
    )
