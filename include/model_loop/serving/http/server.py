"""The application as a server of its own, behind bearer tokens."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from upath import UPath

from model_loop.alerts.outbox import Outbox
from model_loop.datasets.registry import dataset_names, find_variant, get_dataset, variants
from model_loop.errors import ModelLoopError
from model_loop.serving.batches.airflow import AirflowRuns
from model_loop.serving.batches.limits import FileBounds
from model_loop.serving.batches.routes import Batches, BatchRules
from model_loop.serving.batches.runner import BatchRunner, ScoringProcess
from model_loop.serving.batches.store import BatchStore
from model_loop.serving.http.app import create_app, names_of
from model_loop.serving.http.bearer import BearerTokens
from model_loop.serving.http.bounds import bounded
from model_loop.serving.http.tokens import TokenFile, TokenIndex
from model_loop.serving.metrics import ServerMetrics
from model_loop.serving.models.manager import ActiveModels, ModelManager
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.models.registry import MlflowRegistry, use_missing_datasets
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.spool import RECORD_BYTES, Spool
from model_loop.serving.request_log.tables import open_log
from model_loop.serving.request_log.writer_process import ProcessWriter
from model_loop.serving.service import PredictionService
from model_loop.settings import Settings, split_list

logger = logging.getLogger(__name__)

#: Seconds after which a thread has to let others run. By default, Python lets the writer of the log
#: hold up an answer for 5 milliseconds.
_SWITCH_SECONDS = 0.0005

#: Objects that may come before the garbage collector looks at the young ones, and rounds before it
#: looks at older ones. By default it looks after every few requests, and finds nothing.
_GARBAGE = (20_000, 20, 20)

#: Seconds for requests to finish after the signal to stop. Without a bound, one
#: client that never ends its body keeps the log from being closed until the process is killed.
_ENDING_SECONDS = 5

#: Time between two looks at the registry for a variant that has no version which answers.
_IDLE_SECONDS = 15.0

#: A tracking server that is down is tried again soon anyway.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass(frozen=True)
class Services:
    """The services of one server.

    Parameters
    ----------
    default
        Answers at the root.
    others
        Further ones by the beginning of their paths, and why one cannot be made.
    """

    default: PredictionService
    others: Mapping[str, PredictionService | ModelLoopError]

    @property
    def names(self) -> frozenset[str]:
        """Names of the datasets and keys of the variants, by which tokens are limited."""
        return frozenset().union(*map(names_of, self._made))

    @property
    def _made(self) -> tuple[PredictionService, ...]:
        made = (one for one in self.others.values() if isinstance(one, PredictionService))
        return (self.default, *made)

    def stop(self) -> None:
        """End all of them; what waits for the log is written."""
        for service in reversed(self._made):
            service.stop()


def paths_of(key: str) -> tuple[str, ...]:
    """Return the beginnings of the paths of a variant, the shorter one where it stands alone.

    Raises
    ------
    InvalidInputError
        If there is no such variant.
    """
    dataset = find_variant(key)[0]
    if len(dataset.variants) == 1:
        return (f"/{dataset.name}",)
    return (f"/{dataset.name}/{key.rpartition('.')[2]}",)


def make_services(settings: Settings, *, small: bool = False) -> Services:
    """Make the prediction services of the settings; nothing runs yet.

    Parameters
    ----------
    small
        Whether to take less memory instead of less time: compiled models run as arithmetic on
        arrays (`CompiledModel.verify`), and a thread writes the request log, not a process.

    Raises
    ------
    InvalidInputError
        If the request log has no usable address.
    """
    folder = settings.serving_folder
    outbox = Outbox(UPath(settings.storage_root) / "alerts")
    lives: dict[str, ModelManager] = {}

    def shadows() -> dict[str, ServedVersion]:
        return {key: live.now.shadow for key, live in lives.items() if live.now.shadow is not None}

    log = make_log(settings, shadows, apart=not small)
    use_missing_datasets(settings.tracking_uri)
    log.make_spool = _Spools(folder / "spool", log.rules.buffer * RECORD_BYTES)
    metrics = ServerMetrics(lives, log)

    def service_of(key: str) -> PredictionService:
        is_default = key == settings.variant
        registry = MlflowRegistry(
            settings.tracking_uri,
            find_variant(key)[1].model_name,
            folder / "models",
            machine_code=not small,
            outbox=outbox,
            experiment=settings.experiment,
        )
        lives[key] = ModelManager(
            registry,
            folder if is_default else folder / "variants" / key,
            settings.serving_refresh_seconds,
            _settle,
            outbox,
            idle_seconds=0.0 if is_default else _IDLE_SECONDS,
        )
        return PredictionService(key, lives[key], log, metrics)

    default = service_of(settings.variant)
    others: dict[str, PredictionService | ModelLoopError] = {}
    for key in _served(settings):
        try:
            (path,) = paths_of(key)
            others[path] = default if key == settings.variant else service_of(key)
        except ModelLoopError as error:
            logger.warning("%s is not served: %s", key, error)
            others[f"/{key.replace('.', '/')}"] = error
    return Services(default, others)


def _served(settings: Settings) -> Sequence[str]:
    """Return the keys of the variants that are served below their own paths."""
    if given := split_list(settings.serving_variants):
        return given
    broken = []
    for name in dataset_names():
        try:
            get_dataset(name)
        except ModelLoopError:
            broken.append(name)
    return (*variants(), *broken)


class _Spools:
    """Makes a spool when the disk has room for it, and says once that it has none."""

    def __init__(self, folder: Path, room: int) -> None:
        self._folder, self._room = folder, room
        self._said = False

    def __call__(self) -> Spool[Entry] | None:
        try:
            return Spool(self._folder, Entry, self._room)
        except OSError as error:
            if not self._said:
                logger.warning("Predictions wait in memory alone, a kill loses them: %s", error)
            self._said = True
            return None


def make_log(
    settings: Settings,
    shadows: Callable[[], Mapping[str, ServedVersion]] = dict,
    *,
    apart: bool = False,
) -> RequestLog:
    """The request log, by the settings; nothing is written yet.

    Parameters
    ----------
    shadows
        The version of each variant whose answers are compared, where there is one at the moment.
    apart
        Whether a process of its own writes it.

    Raises
    ------
    InvalidInputError
        If it has no usable address.
    """
    url, folder, inputs = (
        settings.request_log_url,
        settings.serving_folder,
        settings.request_log_inputs,
    )
    return RequestLog(
        open_log(url, folder, must_answer=False),
        LogRules(
            buffer=settings.request_log_buffer,
            flush_seconds=settings.request_log_flush_seconds,
            inputs=inputs,
            days=settings.request_log_days,
        ),
        shadows,
        writer=ProcessWriter(url, folder, inputs=inputs) if apart else None,
    )


def make_app(settings: Settings) -> ASGIApp:
    """Make the application behind the tokens of the serving folder."""
    services = make_services(settings)
    tokens = TokenIndex(token_file(settings), settings.serving_rate, services.names)
    app = create_app(
        services.default,
        BearerTokens(tokens, settings.serving_refresh_seconds),
        max_bytes=settings.serving_max_bytes,
        max_rows=settings.serving_max_rows,
        others=services.others,
        batches=make_batches(settings),
    )
    return let_pages_ask(app, split_list(settings.serving_cors_origins))


def make_batches(settings: Settings) -> Batches:
    """Make the batches of the settings; nothing runs yet."""
    store = BatchStore(settings.batches_folder)
    url = settings.batches_airflow_url
    airflow = AirflowRuns(store, url) if url else None
    return Batches(
        store,
        BatchRules(
            FileBounds.of(settings),
            settings.batches_per_token,
            settings.batches_days,
            settings.batches_read_seconds,
            split_list(settings.batches_folders),
        ),
        BatchRunner(store, airflow or ScoringProcess(store), settings.batches_days),
        airflow,
    )


def let_pages_ask(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of these origins ask from a browser, with a token and without cookies (CORS).

    A browser asks without a token first whether it may ask, so this stands before the guard.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "POST", "DELETE"),
        allow_headers=(
            *("Authorization", "Content-Type", "Idempotency-Key", "X-Request-Key", "X-Moment"),
        ),
    )


def token_file(settings: Settings) -> TokenFile:
    """The tokens of this server."""
    told = settings.serving_tokens
    return TokenFile(Path(told) if told else settings.serving_folder / "tokens.json")


def run_server(settings: Settings) -> None:
    """Serve until the process receives a signal to stop."""
    serve(make_app(settings), settings)


def wait_less() -> None:
    """Give up an MLflow server that is down sooner, unless the environment says otherwise."""
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)


def serve(app: ASGIApp, settings: Settings) -> None:
    """Serve an application until the process receives a signal to stop."""
    wait_less()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.set_threshold(*_GARBAGE)
    uvicorn.run(
        app,
        host=settings.serving_host,
        port=settings.serving_port,
        access_log=False,
        http=bounded(settings.serving_read_seconds),
        server_header=False,
        # No route asks for an address, or for what a proxy says of it.
        proxy_headers=False,
        # No route speaks it, and the guard is one for HTTP.
        ws="none",
        timeout_graceful_shutdown=_ENDING_SECONDS,
    )


def _settle(_: ActiveModels) -> None:
    """Take what a swap has loaded out of the sight of the garbage collector."""
    gc.collect()
    gc.freeze()
