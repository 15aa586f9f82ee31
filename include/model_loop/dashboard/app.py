"""The pages over HTTP. Who may see them is decided before, by the guard around them."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from model_loop.dashboard.answers import answers_of, reasons_of
from model_loop.dashboard.known import PageSources
from model_loop.dashboard.page import Page
from model_loop.dashboard.pages import PAGES
from model_loop.dashboard.questions import Questions
from model_loop.dashboard.rendering import asset, render
from model_loop.errors import ModelLoopError, WorkerError
from model_loop.serving.http.requests import RequestRefusedError, read_request
from model_loop.tracking.names import EVIDENTLY_HTML

_MOST_BYTES = 16_384
_FIRST_LOOK_SECONDS = 60.0
_RUN_ID = re.compile(r"[0-9a-f]{32}")

#: Nothing is loaded from elsewhere, and no script but ours runs. Plotly sets styles of elements.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-src 'self'; frame-ancestors 'self'; "
    "base-uri 'none'; form-action 'self'"
)
#: Evidently's page runs scripts of its own: without our origin it can neither read the login's
#: cookie nor send anything anywhere.
_FOREIGN = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; frame-ancestors 'self'"
)
_SAFE = MappingProxyType(
    {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
)
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

#: Which page tells most of a DAG.
_PAGE_OF = {
    "data_preparation": "data",
    "green_months": "data",
    "yellow_months": "data",
    "fhvhv_months": "data",
    "new_months": "data",
    "watch_months": "data",
    "sklearn_training": "models",
    "xgboost_training": "models",
    "promotion": "models",
    "monitoring": "monitoring",
    "prediction": "playground",
}

if TYPE_CHECKING:
    from model_loop.serving.service import PredictionService

logger = logging.getLogger(__name__)

MayPromote = Callable[[Scope], Awaitable[bool]]


@dataclass(frozen=True)
class Dashboard:
    """The pages of one service.

    Parameters
    ----------
    sources
        What they are made of.
    service
        What the playground asks.
    questions
        Who says why.
    may_promote
        Whether whoever asks may move versions: only they are shown the buttons.
    """

    sources: PageSources
    service: PredictionService
    questions: Questions
    may_promote: MayPromote

    def app(self) -> Starlette:
        """The application, to be mounted behind a guard."""
        return Starlette(
            routes=[
                Route("/", self.first),
                Route("/for", self.page_of_dag),
                Route("/explain", self.explain, methods=["POST"]),
                Route("/static/{version}/{name}", self.static),
                Route("/evidently/{run_id}", self.evidently),
                Route("/{page}/{chart}.csv", self.csv),
                Route("/{page}", self.page),
            ],
            exception_handlers={ModelLoopError: _refused},  # type: ignore[dict-item]  # Starlette types handlers by their widest error
        )

    async def first(self, _request: Request) -> Response:
        """Lead to the first page."""
        return RedirectResponse("overview")

    async def page(self, request: Request) -> Response:
        """Show one page."""
        page = await self._made(request)
        may_promote = await self.may_promote(request.scope)
        html = await asyncio.to_thread(
            render,
            page,
            query=dict(request.query_params),
            may_promote=may_promote,
            service=self.sources.service,
        )
        return Response(html, media_type="text/html", headers=_SAFE)

    async def csv(self, request: Request) -> Response:
        """Give the data behind a chart."""
        name = request.path_params["chart"]
        page = await self._made(request)
        chart = next((chart for chart in page.charts if chart.name == name), None)
        if chart is None:
            raise RequestRefusedError(
                404, f"Chart {name!r}", "is not on this page", "See the page."
            )
        headers = {**_SAFE, "Content-Disposition": f'attachment; filename="{name}.csv"'}
        return Response(chart.table.csv(), media_type="text/csv", headers=headers)

    async def page_of_dag(self, request: Request) -> Response:
        """Lead from a tab of a DAG or of a run to the page that tells most of it."""
        page = _PAGE_OF.get(request.query_params.get("dag_id", ""), "overview")
        run_id = request.query_params.get("run_id", "")
        asked = f"?{urlencode({'dag_run': run_id})}" if run_id and page == "models" else ""
        # Relative, so that proxies need not be known.
        return RedirectResponse(f"{page}{asked}")

    async def explain(self, request: Request) -> Response:
        """Say what each version predicts for a trip; with ``?why=champion``, how it comes to it."""
        body = await _body(request)
        dataset = self.service.dataset
        (row, *_) = read_request(dataset, body, 1).rows
        live = self.service.live
        if not live.looked:
            self.service.start()
            await asyncio.to_thread(live.wait, _FIRST_LOOK_SECONDS)
        alias = request.query_params.get("why")
        if alias:
            found = await asyncio.to_thread(
                reasons_of, self.questions, self.service.dataset, live.now, alias, row
            )
            return JSONResponse(found, headers=_SAFE)
        answers = await asyncio.to_thread(
            answers_of, self.sources, self.service.dataset, live.now, row
        )
        return JSONResponse({"answers": answers}, headers=_SAFE)

    async def evidently(self, request: Request) -> Response:
        """Show Evidently's report of a window, cut off from everything else."""
        run_id = request.path_params["run_id"]
        found, status = None, 200
        said = "Evidently has made no report of this window: it had too few trips."
        if _RUN_ID.fullmatch(run_id):
            read = self.sources.runs.document
            try:
                found = await asyncio.to_thread(read, run_id, f"drift/{EVIDENTLY_HTML}")
            except WorkerError:
                logger.exception("Evidently's report cannot be read")
                said, status = "The tracking server does not give the report now.", 503
        if found is None:
            found = f"<!doctype html><title>No report</title><p>{said}</p>".encode()
        headers = {**_SAFE, "Content-Security-Policy": _FOREIGN}
        return Response(found, status, media_type="text/html", headers=headers)

    async def static(self, request: Request) -> Response:
        """Give a script, style or picture."""
        name = request.path_params["name"]
        packed = await asyncio.to_thread(_packed, name)
        if packed is None:
            raise RequestRefusedError(404, f"File {name!r}", "is unknown", "See the pages.")
        headers = {
            **_SAFE,
            "Content-Encoding": "gzip",
            # Their address changes with them.
            "Cache-Control": "private, max-age=31536000, immutable",
        }
        return Response(packed, media_type=_TYPES[name.rpartition(".")[2]], headers=headers)

    async def _made(self, request: Request) -> Page:
        name = request.path_params["page"]
        if name not in PAGES:
            raise RequestRefusedError(
                404, f"Page {name!r}", "is unknown", f"There are: {', '.join(PAGES)}."
            )
        query: Mapping[str, str] = dict(request.query_params)
        return await asyncio.to_thread(PAGES[name], self.sources, query)


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > _MOST_BYTES:
            raise RequestRefusedError(413, "The body", "is too large", "Send one trip.")
        parts.append(part)
    return b"".join(parts)


@lru_cache(maxsize=16)
def _packed(name: str) -> bytes | None:
    """A file, packed once."""
    path = asset(name)
    return None if path is None else gzip.compress(path.read_bytes(), compresslevel=6)


async def _refused(_request: Request, error: ModelLoopError) -> Response:
    status = error.status if isinstance(error, RequestRefusedError) else 422
    return JSONResponse({"error": error.fields()}, status, headers=_SAFE)
