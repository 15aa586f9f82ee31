"""The HTTP application: routes, their handlers and their description."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from model_loop.datasets.classes import Label
from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.registry import file_problem
from model_loop.datasets.stored import digest_of_text
from model_loop.errors import ModelLoopError
from model_loop.intervals.grid import DEFAULT_LEVEL, LEVEL, LOWER, UPPER
from model_loop.scoring.answers import Make, answer_maker
from model_loop.scoring.assumptions import tell_assumed
from model_loop.scoring.limits import CLASSES, PROBABILITIES, THRESHOLD
from model_loop.scoring.outcomes import Outcome
from model_loop.serving.batches.routes import Batches, BatchRoutes
from model_loop.serving.batches.runner import BatchRunner
from model_loop.serving.comparison.report import ab_report
from model_loop.serving.http.asgi import (
    Authenticate,
    Call,
    Endpoint,
    Guard,
    Handler,
    Reply,
    json_reply,
    refusal,
    route_path,
)
from model_loop.serving.http.mlflow_protocol import open_invocation, read_invocation
from model_loop.serving.http.openapi import (
    SHARED,
    DescribedVariant,
    Operation,
    describe,
    docs_page,
)
from model_loop.serving.http.requests import (
    EXPLAINED_ROWS,
    RequestRefusedError,
    check_key,
    is_id,
    open_request,
    read_explain,
    read_feedback,
    read_moment,
    read_request,
)
from model_loop.serving.http.thread_pools import Pool
from model_loop.serving.models.manager import ModelManager, MomentVersions
from model_loop.serving.service import PredictedRows, PredictionService
from model_loop.tracking.deployments import PARTS

#: Bodies up to so many bytes are answered on the event loop: a thread would take longer.
_INLINE_BYTES = 16_384
#: Seconds that a request waits for the first look at the registry.
_FIRST_LOOK_SECONDS = 60.0
_LOOK_SECONDS = 0.02
_LOG_SECONDS = 2.0
#: Threads, and requests that may wait for one: of large predictions, and of the request log, each
#: of which may take seconds when its database is stuck.
_LARGE = (4, 60)
#: Threads and waiting requests of a variant with a version that another process answers for.
_REMOTE = (32, 224)
_LOG = (4, 28)


@dataclass(frozen=True)
class Extension:
    """A further route, from a room after serving.

    Parameters
    ----------
    operation
        Description of the route.
    handler
        Handler that answers.
    """

    operation: Operation
    handler: Handler


def create_app(
    service: PredictionService,
    authenticate: Authenticate,
    *,
    max_bytes: int,
    max_rows: int,
    others: Mapping[str, PredictionService | ModelLoopError] = MappingProxyType({}),
    extensions: Sequence[Extension] = (),
    mounts: Mapping[str, ASGIApp] = MappingProxyType({}),
    batches: Batches | None = None,
) -> Guard:
    """The application.

    Parameters
    ----------
    service
        Service that answers by default; it is started and stopped with the application by the
        server, as the others are.
    authenticate
        Check of the caller, for every route but the health checks.
    max_bytes, max_rows
        Bounds of a request.
    others
        Further services by the beginning of their paths, and why one cannot be: its routes answer
        503 with that.
    extensions
        Routes besides our own, behind the same guard.
    mounts
        Applications for people below these paths, behind the same guard; they are not described.
    batches
        Files that are scored; None where no files are taken.
    """
    there = {path: one for path, one in others.items() if isinstance(one, PredictionService)}

    parts: list[PredictionService | BatchRunner] = [service, *there.values()]
    if batches is not None:
        parts.append(batches.runner)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        for one in parts:
            one.start()
        yield
        for one in reversed(parts):
            await asyncio.to_thread(one.stop)

    served = [(path, one) for path, one in {"": service, **there}.items()]
    handled = [*_handled(served, max_rows, batches)]
    handled += [
        (extension.operation, extension.handler, names_of(service)) for extension in extensions
    ]
    further = [extension.operation for extension in extensions]
    shared = SharedRoutes(served, further, batches=batches is not None)
    handled += [(operation, getattr(shared, operation.name), ANY) for operation in SHARED]
    straight: dict[tuple[str, str], ASGIApp] = {}
    below: list[Route | Mount] = []

    def add(operation: Operation, handler: Handler, about: frozenset[str]) -> None:
        endpoint = Endpoint(
            operation.path, handler, service.metrics, max_bytes, operation.scope, about
        )
        below.append(Route(operation.path, endpoint, methods=[operation.method]))
        if "{" not in operation.path:
            straight[operation.method, operation.path] = endpoint

    for operation, handler, about in handled:
        add(operation, handler, about)
    below += [Mount(path, app) for path, app in mounts.items()]
    below += [
        Mount(
            path,
            Endpoint(path, refusing(why), service.metrics, max_bytes, "read", names_of_path(path)),
        )
        for path, why in others.items()
        if isinstance(why, ModelLoopError)
    ]
    api = Starlette(routes=below, lifespan=lifespan, exception_handlers={HTTPException: _refused})
    api.router.redirect_slashes = False
    return Guard(api, authenticate, service.metrics, straight)


def _handled(
    served: Sequence[tuple[str, PredictionService]], max_rows: int, batches: Batches | None
) -> Iterator[tuple[Operation, Handler, frozenset[str]]]:
    """Yield the operations of each variant, with their handlers and the names that they ask."""
    pools = Pools()
    for path, one in served:
        routes: list[Routes | BatchRoutes] = [Routes(one, max_rows, pools)]
        if batches is not None:
            routes.append(BatchRoutes(one.service, one.dataset, batches))
        for operation in DescribedVariant(one.dataset, path, batches is not None).operations():
            name = operation.name
            handler = next(getattr(some, name) for some in routes if hasattr(some, name))
            yield operation, handler, names_of(one)


def _refused(request: Request, error: Exception) -> Response:
    """Say as every other refusal does that there is no such path, or no such method of one."""
    assert isinstance(error, HTTPException)
    allowed = dict(error.headers or {})
    given = f"{request.method} {route_path(request.scope)}"
    rule = "is not a request that this server answers"
    remedy = f"Send {allowed['Allow']}." if "Allow" in allowed else "GET /docs lists them."
    reply = refusal(RequestRefusedError(error.status_code, given, rule, remedy))
    return Response(reply.body, reply.status, allowed, reply.content_type.decode())


#: Names of no dataset: a route that any token may ask.
ANY: frozenset[str] = frozenset()


def names_of(service: PredictionService) -> frozenset[str]:
    """Return the names by which a token may be limited to a variant."""
    return frozenset({service.service, service.dataset.name})


def names_of_path(path: str) -> frozenset[str]:
    """Return the same names from the beginning of the paths of a variant that cannot be read."""
    name, _, variant = path.strip("/").partition("/")
    return frozenset({name, variant, f"{name}.{variant}"} - {"", f"{name}."})


def refusing(why: ModelLoopError) -> Handler:
    """Return a handler that says why a dataset cannot predict."""

    async def refuse(_call: Call) -> Reply:
        raise RequestRefusedError(503, why.given, why.rule, why.remedy)

    return refuse


class Pools:
    """Threads that all variants share: of large predictions, and of the request log."""

    def __init__(self) -> None:
        self.large = Pool("Predictions", *_LARGE)
        self.log = Pool("The request log", *_LOG)


class SharedRoutes:
    """One handler for each operation of the whole server.

    Parameters
    ----------
    served
        The variants with the beginnings of their paths, the default one first.
    operations
        Further routes, of the default variant.
    batches
        Whether files are scored.
    """

    def __init__(
        self,
        served: Sequence[tuple[str, PredictionService]],
        operations: Sequence[Operation],
        *,
        batches: bool = False,
    ) -> None:
        self._metrics = served[0][1].metrics
        self._served, self._operations, self._batches = served, operations, batches
        #: The last descriptions, with the datasets that they are of.
        self._documents: dict[frozenset[str] | None, tuple[list[Dataset], Mapping[str, Any]]] = {}

    async def healthz(self, _call: Call) -> Reply:
        """The process lives."""
        return Reply(b'{"status":"ok"}')

    async def metrics(self, call: Call) -> Reply:
        """Counters for Prometheus."""
        datasets = call.datasets
        if datasets is not None and any(
            names_of(one).isdisjoint(datasets) for _, one in self._served
        ):
            raise RequestRefusedError(
                403,
                f"Token {call.caller!r}",
                f"is for some of the datasets alone ({', '.join(sorted(datasets))}), and the "
                "metrics count the requests of all",
                "Use one that was made with `model-loop tokens add NAME` without --datasets.",
            )
        text = self._metrics.text()
        return Reply(text, content_type=b"text/plain; version=0.0.4; charset=utf-8")

    async def docs(self, call: Call) -> Reply:
        """Show the description to people."""
        page = docs_page(self._document(call.datasets)).encode()
        return Reply(page, content_type=b"text/html; charset=utf-8")

    async def openapi(self, call: Call) -> Reply:
        """Show the description to programs."""
        return json_reply(self._document(call.datasets))

    def _document(self, datasets: frozenset[str] | None) -> Mapping[str, Any]:
        """Return the description of what a caller may ask, as OpenAPI.

        Each variant as its champion reads rows: by the declaration that it was trained on.
        """
        may_ask = [
            (path, one)
            for path, one in self._served
            if datasets is None or not names_of(one).isdisjoint(datasets)
        ]
        answering = [one.answering for _, one in may_ask]
        made = self._documents.get(datasets)
        if made is None or any(a is not b for a, b in zip(made[0], answering, strict=True)):
            described = [
                DescribedVariant(dataset, path, self._batches)
                for dataset, (path, _) in zip(answering, may_ask, strict=True)
            ]
            own = [operation for one in described for operation in one.operations()]
            further = self._operations if self._served[0] in may_ask else ()
            made = (answering, describe(described, (*own, *further, *SHARED)))
            self._documents[datasets] = made
        return made[1]


class Routes:
    """One handler for each operation of a variant.

    Parameters
    ----------
    service
        Service that answers.
    max_rows
        Rows of one request.
    pools
        Threads for what takes long.
    """

    def __init__(self, service: PredictionService, max_rows: int, pools: Pools) -> None:
        self._service = service
        self._dataset = service.dataset
        self._max_rows = max_rows
        self._large, self._log = pools.large, pools.log
        # For this variant only: requests that wait for code delay no other variant.
        self._remote = Pool("Predictions", *_REMOTE)
        #: The dataset of the last answer, and what makes answers of it.
        self._made = (service.dataset, answer_maker(service.dataset))

    async def predict(self, call: Call) -> Reply:
        """Predict one or many rows."""
        body = await call.body()
        query = call.scope["query_string"]
        explain = bool(query) and read_explain(query)
        if not self._service.live.looked:
            # A request that is refused anyway loads no version.
            await self._large.run(read_request, self._dataset, body, self._max_rows)
            await self._first_look()
        if self._service.live.now.waits:
            return await self._remote.run(self._predicted, call, body, explain)
        if len(body) <= _INLINE_BYTES and not explain:
            return self._predicted(call, body)
        return await self._large.run(self._predicted, call, body, explain)

    async def invocations(self, call: Call) -> Reply:
        """Predict by MLflow's protocol."""
        body = await call.body()
        if not self._service.live.looked:
            kind = call.header(b"content-type")
            await self._large.run(read_invocation, self._dataset, body, kind, self._max_rows)
            await self._first_look()
        if self._service.live.now.waits:
            return await self._remote.run(self._invoked, call, body)
        if len(body) <= _INLINE_BYTES:
            return self._invoked(call, body)
        return await self._large.run(self._invoked, call, body)

    async def feedback(self, call: Call) -> Reply:
        """Note true values."""
        dataset = self._dataset
        if dataset.target.is_classified:
            # The present declaration need not name the classes.
            await self._first_look()
            dataset = self._service.answering
        actual = read_feedback(dataset, await call.body(), self._max_rows)
        return await self._log.run(self._noted, dataset, actual, call.caller, self._askable(call))

    async def prediction(self, call: Call) -> Reply:
        """Return a prediction from the log."""
        prediction_id = call.scope["path_params"]["prediction_id"]
        return await self._log.run(self._logged, prediction_id, self._askable(call))

    async def models(self, _call: Call) -> Reply:
        """The versions that answer."""
        await self._first_look()
        live = self._service.live
        now, champion = live.now, live.now.champion
        versions = [
            one for moment, side in now.sides.items() for one in _versions(moment, side, live)
        ]
        return json_reply(
            {
                "service": self._service.service,
                "enabled": any(side.standing.enabled for side in now.sides.values()),
                "answering": champion.version if champion else None,
                "moments": {
                    moment: {
                        "champion": side.champion.version if side.champion else None,
                        "enabled": side.standing.enabled,
                    }
                    for moment, side in now.sides.items()
                },
                "versions": versions,
                "declaration_problem": file_problem(self._service.dataset.name),
                "registry": live.unreachable or "reachable",
                "unreadable": live.unreadable,
            }
        )

    async def ab_report(self, _call: Call) -> Reply:
        """Errors by version."""
        log = self._service.log
        report = await self._log.run(
            ab_report,
            log.engine,
            self._service.service,
            self._service.live.moment_of,
            moves=self._service.live.moves,
            unit_of=self._service.live.unit_of,
        )
        return json_reply(asdict(report))

    async def readyz(self, _call: Call) -> Reply:
        """Report whether predictions are answered, and whether the registry can be reached."""
        live, log = self._service.live, self._service.log
        now, answering = live.now, live.now.answering
        ready = bool(answering)
        told = {
            "ready": ready,
            "enabled": any(side.standing.enabled for side in now.sides.values()),
            "champion": now.champion.version if now.champion else None,
            "champions": {
                moment: side.champion.version for moment, side in answering.items() if side.champion
            },
            "registry_reachable": not live.unreachable,
            "versions_that_cannot_be_loaded": sorted(live.problems),
            "request_log": {
                "working": log.working,
                "waiting": log.waiting,
                "dropped": log.counts.dropped,
            },
        }
        return json_reply(told, 200 if ready else 503)

    def _predicted(self, call: Call, body: bytes, explain: bool = False) -> Reply:  # noqa: FBT001, FBT002 - private
        most = min(self._max_rows, EXPLAINED_ROWS) if explain else self._max_rows
        asked = open_request(self._dataset, body, most)
        answer = self._service.predict(
            asked.read,
            asked.key,
            call.caller,
            call.started,
            asked.moment,
            asked.level,
            explain=explain,
        )
        version, moment, make = answer.version, answer.moment, self._making(answer.dataset)
        answers = [
            make(row, value, one, version, moment, notices, limits)
            for row, value, one, notices, limits in zip(
                answer.rows,
                answer.predictions,
                answer.ids,
                answer.notices,
                answer.limits,
                strict=True,
            )
        ]
        if answer.reasons is not None:
            for made, reasons in zip(answers, answer.reasons, strict=True):
                made.reasons = reasons
        return json_reply(answers)

    def _making(self, dataset: Dataset) -> Make:
        made = self._made
        if made[0] is not dataset:
            self._made = made = (dataset, answer_maker(dataset))
        return made[1]

    def _invoked(self, call: Call, body: bytes) -> Reply:
        asked = open_invocation(body, call.header(b"content-type"), self._max_rows)
        key = check_key(call.header(b"x-request-key"))
        moment = read_moment(self._dataset, call.header(b"x-moment"))
        level = DEFAULT_LEVEL if asked.level is None else asked.level
        answer: PredictedRows = self._service.predict(
            asked.read, key, call.caller, call.started, moment, level
        )
        told: dict[str, Any] = {
            "predictions": [
                one.label if isinstance(one, Outcome) else one for one in answer.predictions
            ],
            "unit": answer.dataset.target.unit,
            "prediction_ids": answer.ids,
            "model_version": answer.version,
            "moment": answer.moment,
        }
        outcomes = [one for one in answer.predictions if isinstance(one, Outcome)]
        if outcomes:
            told |= _of_classes(outcomes, with_sets=asked.level is not None)
        if asked.level is not None:
            lower, upper, levels = zip(*answer.limits, strict=True)
            told |= (
                {LEVEL: levels[0]} if outcomes else {LOWER: lower, UPPER: upper, LEVEL: levels[0]}
            )
        if any(row.assumed for row in answer.rows):
            told["assumed"] = [tell_assumed(answer.dataset, row) for row in answer.rows]
        if any(answer.notices):
            told["notices"] = answer.notices
        return Reply(msgspec.json.encode(told))

    def _askable(self, call: Call) -> frozenset[str]:
        """Return the keys of the variants of this dataset whose predictions the caller may see."""
        variants = frozenset(self._dataset.variants)
        datasets = call.datasets
        return (
            variants if datasets is None or self._dataset.name in datasets else variants & datasets
        )

    def _noted(
        self,
        dataset: Dataset,
        actual: dict[str, float | Label],
        caller: str,
        variants: frozenset[str],
    ) -> Reply:
        log = self._service.log
        written = log.flush(_LOG_SECONDS)
        if unknown := log.add_feedback(actual, caller, variants, dataset.target.classes):
            if not written:
                raise _behind()
            raise RequestRefusedError(
                404,
                f"Prediction {', '.join(unknown[:3])}{'…' if len(unknown) > 3 else ''}",  # noqa: PLR2004 - a few names
                "is not in the log",
                "Nothing was noted. Predictions that are too old, or were dropped, are not there; "
                "those of another dataset are below its own path.",
            )
        return json_reply({"noted": len(actual)})

    def _logged(self, prediction_id: str, variants: frozenset[str]) -> Reply:
        found, written = None, True
        # A malformed id is in no log, so the database need not be asked.
        if is_id(prediction_id):
            log = self._service.log
            written = log.flush(_LOG_SECONDS)
            found = log.find(prediction_id, variants)
        if found is None and not written:
            raise _behind()
        if found is None:
            raise RequestRefusedError(
                404, "This prediction", "is not in the log", "Check its id and its age."
            )
        return json_reply(found)

    async def _first_look(self) -> None:
        live = self._service.live
        if not live.looked:
            self._service.start()
            # Without a thread: each waiting request would hold one while a version loads.
            deadline = time.monotonic() + _FIRST_LOOK_SECONDS
            while not live.wait(0) and time.monotonic() < deadline:  # noqa: ASYNC110 - set by a thread
                await asyncio.sleep(_LOOK_SECONDS)


def _of_classes(outcomes: Sequence[Outcome], *, with_sets: bool) -> dict[str, Any]:
    """Return what an answer by MLflow's protocol says of classes beside their labels."""
    told: dict[str, Any] = {PROBABILITIES: [one.probabilities for one in outcomes]}
    if outcomes[0].threshold is not None:
        told[THRESHOLD] = outcomes[0].threshold
    if with_sets and outcomes[0].classes is not None:
        told[CLASSES] = [one.classes for one in outcomes]
    return told


def _behind() -> RequestRefusedError:
    """Say that the content of the log is not known yet: predictions wait to be written into it."""
    return RequestRefusedError(
        503,
        "The request log",
        "has predictions waiting that its database does not accept",
        "Try again once they are written: until then, a missing prediction may still be waiting.",
    )


def _versions(moment: Moment, side: MomentVersions, live: ModelManager) -> Iterator[dict[str, Any]]:
    """Tell of each version that has a part at a moment."""
    standing = side.standing
    shares = {"challenger": standing.share, "champion": 1 - standing.share, "shadow": 0.0}
    ready = {one.version: one for one in live.now.predictors}
    for part in PARTS:
        version: int | None = getattr(standing, part)
        if version is not None:
            one = ready.get(version)
            yield {
                "version": version,
                "moment": moment,
                "alias": part,
                "share": shares[part],
                "ready": one is not None,
                "compiled": one is not None and one.compiled,
                "columns": list(one.columns) if one else [],
                "declaration": digest_of_text(one.declaration) if one else "",
                "why": live.problems.get(version) or (one.plain if one else ""),
            }
