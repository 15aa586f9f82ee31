"""The pages over HTTP, for people whose rights are checked by the DAGs of the dataset."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from model_loop.dashboard.answers import answers_of, reasons_of
from model_loop.dashboard.page import Page
from model_loop.dashboard.page_data import PageSources
from model_loop.dashboard.pages import PAGES
from model_loop.dashboard.rendering import PageContext, asset, render
from model_loop.dashboard.tabs import tab_of
from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import dataset_of_variant, sound_datasets
from model_loop.errors import ModelLoopError, WorkerError
from model_loop.serving.http.requests import RequestRefusedError, open_request
from model_loop.tracking.names import EVIDENTLY_HTML

_MOST_BYTES = 16_384
_FIRST_LOOK_SECONDS = 60.0

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

if TYPE_CHECKING:
    from model_loop.serving.service import PredictionService

logger = logging.getLogger(__name__)

#: Rights on a dataset: look at its pages, get predictions, move its versions.
Right = Literal["look", "ask", "promote"]
Allowed = Callable[[Scope, Right, Sequence[Dataset]], Awaitable[frozenset[str]]]
"""Returns the names of those datasets that the person of a request has a right on."""


@dataclass(frozen=True)
class Dashboard:
    """The pages of all datasets.

    Parameters
    ----------
    default
        Key of the variant that is shown where the address names none.
    make_sources
        Makes the sources of the pages of a variant.
    services
        Services that the playground asks, by the keys of their variants.
    allowed
        Rights of the person of a request.
    """

    default: str
    make_sources: Callable[[str], PageSources]
    services: Mapping[str, PredictionService]
    allowed: Allowed
    _sources: dict[str, PageSources] = field(default_factory=dict)

    def app(self) -> Starlette:
        """Return the application, to be mounted behind a login."""
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

    def sources_of(self, key: str) -> PageSources:
        """Return the sources of a variant, made again if its declaration has changed.

        Raises
        ------
        InvalidInputError
            If there is no such variant.
        """
        dataset = dataset_of_variant(key)
        sources = self._sources.get(key)
        if sources is None or sources.declared is not dataset:
            sources = self._sources[key] = self.make_sources(key)
        return sources

    async def first(self, request: Request) -> Response:
        """Lead to the first page."""
        await self._looking(request)
        return RedirectResponse("overview")

    async def page(self, request: Request) -> Response:
        """Show one page."""
        place = await self._place(request)
        page = await self._made(request, place.sources)
        html = await asyncio.to_thread(render, page, place)
        return Response(html, media_type="text/html", headers=_SAFE)

    async def csv(self, request: Request) -> Response:
        """Give the data behind a chart."""
        name = request.path_params["chart"]
        place = await self._place(request)
        page = await self._made(request, place.sources)
        chart = next((chart for chart in page.charts if chart.name == name), None)
        if chart is None:
            raise RequestRefusedError(
                404, f"Chart {name!r}", "is not on this page", "See the page."
            )
        headers = {**_SAFE, "Content-Disposition": f'attachment; filename="{name}.csv"'}
        return Response(chart.table.csv(), media_type="text/csv", headers=headers)

    async def page_of_dag(self, request: Request) -> Response:
        """Redirect from a tab of a DAG or of a run to the page about it."""
        await self._looking(request)
        page, key = tab_of(request.query_params.get("dag_id", ""))
        asked = {"variant": key} if key and key != self.default else {}
        run_id = request.query_params.get("run_id", "")
        if run_id and page == "models":
            asked["dag_run"] = run_id
        # Relative, so that proxies need not be known.
        return RedirectResponse(f"{page}?{urlencode(asked)}".removesuffix("?"))

    async def explain(self, request: Request) -> Response:
        """Say what each version predicts for a row; with ``?why=champion``, how it comes to it."""
        key = await self._key(request, "ask")
        sources, service = self.sources_of(key), self.services.get(key)
        if service is None:
            raise RequestRefusedError(
                404, f"Variant {key!r}", "is not answered by this server", "Ask one that does."
            )
        body = await _body(request)
        opened = open_request(sources.dataset, body, 1)
        live = service.live
        if not live.looked:
            service.start()
            await asyncio.to_thread(live.wait, _FIRST_LOOK_SECONDS)
        alias = request.query_params.get("why")
        if alias:
            found = await asyncio.to_thread(reasons_of, sources, live.now, alias, opened.read)
            return JSONResponse(found, headers=_SAFE)
        answers = await asyncio.to_thread(answers_of, sources, live.now, opened.read, opened.level)
        return JSONResponse({"answers": answers}, headers=_SAFE)

    async def evidently(self, request: Request) -> Response:
        """Show Evidently's report of a window, cut off from everything else."""
        sources = self.sources_of(await self._key(request, "look"))
        run_id, many = request.path_params["run_id"], sources.words.rows
        found, status = None, 200
        said = f"Evidently has made no report of this window: it had too few {many}."
        known = await asyncio.to_thread(sources.look, "windows")
        # Runs of another dataset are for those who may see that one.
        if any(window.run_id == run_id for window in known.windows):
            read = sources.runs.document
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
        await self._looking(request)
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

    async def _made(self, request: Request, sources: PageSources) -> Page:
        name = request.path_params["page"]
        if name not in PAGES:
            raise RequestRefusedError(
                404, f"Page {name!r}", "is unknown", f"There are: {', '.join(PAGES)}."
            )
        query: Mapping[str, str] = dict(request.query_params)
        return await asyncio.to_thread(PAGES[name], sources, query)

    async def _place(self, request: Request) -> PageContext:
        """Return what surrounds every page, for the variant of an address."""
        key = await self._key(request, "look")
        seen = await self._looking(request)
        sources = self.sources_of(key)
        moving = await self.allowed(request.scope, "promote", [sources.dataset])
        return PageContext(
            sources=sources,
            default=self.default,
            datasets=seen,
            query=dict(request.query_params),
            may_promote=bool(moving),
        )

    async def _looking(self, request: Request) -> list[Dataset]:
        """Return the datasets that a person may see.

        Raises
        ------
        RequestRefusedError
            If there is none (403).
        """
        datasets = [*sound_datasets()]
        names = await self.allowed(request.scope, "look", datasets)
        if not names:
            raise RequestRefusedError(
                403,
                "The request",
                "is refused: your role may see the pages of no dataset",
                "Ask an administrator for one that may see runs of a DAG `prediction`.",
            )
        return [one for one in datasets if one.name in names]

    async def _key(self, request: Request, right: Right) -> str:
        """Return the variant that an address names; the default one, or the first that is seen.

        Raises
        ------
        RequestRefusedError
            If a person lacks the right on its dataset (403).
        InvalidInputError
            If there is no such variant.
        """
        key = asked_variant(request.query_params)
        if not key:
            keys = [one for dataset in await self._looking(request) for one in dataset.variants]
            key = self.default if self.default in keys else keys[0]
        dataset = dataset_of_variant(key)
        if not await self.allowed(request.scope, right, [dataset]):
            does = {"look": "see the pages", "ask": "ask the models", "promote": "move versions"}
            raise RequestRefusedError(
                403,
                "The request",
                f"is refused: your role may not {does[right]} of {dataset.title}",
                "Ask an administrator for one that may.",
            )
        return key


def asked_variant(query: Mapping[str, str]) -> str:
    """Return the variant that an address names; empty if it names none.

    Also by ``dataset``, and by the name that a dataset has for its variants.
    """
    if key := query.get("variant"):
        return key
    for dataset in sound_datasets():
        if query.get("dataset") == dataset.name:
            return next(iter(dataset.variants))
        if (key := query.get(dataset.variant_field.name)) in dataset.variants:
            return str(key)
    return ""


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > _MOST_BYTES:
            raise RequestRefusedError(413, "The body", "is too large", "Send one row.")
        parts.append(part)
    return b"".join(parts)


@lru_cache(maxsize=32)
def _packed(name: str) -> bytes | None:
    """A file, packed once."""
    path = asset(name)
    return None if path is None else gzip.compress(path.read_bytes(), compresslevel=6)


async def _refused(_request: Request, error: ModelLoopError) -> Response:
    status = error.status if isinstance(error, RequestRefusedError) else 422
    return JSONResponse({"error": error.fields()}, status, headers=_SAFE)
