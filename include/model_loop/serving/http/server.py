"""The application as a server of its own, behind bearer tokens."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from upath import UPath

from model_loop.alerts.outbox import Outbox
from model_loop.serving.http.app import create_app
from model_loop.serving.http.bearer import BearerTokens
from model_loop.serving.http.bounds import bounded
from model_loop.serving.http.tokens import KnownTokens, TokenFile
from model_loop.serving.metrics import ServerMetrics
from model_loop.serving.models.manager import ActiveModels, ModelManager
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.models.registry import MlflowRegistry
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.spool import RECORD_BYTES, Spool
from model_loop.serving.request_log.tables import open_log
from model_loop.serving.request_log.writer_process import ProcessWriter
from model_loop.serving.service import PredictionService
from model_loop.settings import Settings, split_list
from model_loop.tracking.deployments import registered_name

logger = logging.getLogger(__name__)

#: Seconds after which a thread has to let others run. By default, Python lets the writer of the log
#: hold up an answer for 5 milliseconds.
_SWITCH_SECONDS = 0.0005

#: Objects that may come before the garbage collector looks at the young ones, and rounds before it
#: looks at older ones. By default it looks after every few requests, and finds nothing.
_GARBAGE = (20_000, 20, 20)

#: Seconds that requests may take to their end when the server is told to stop. Without a bound, one
#: client that never ends its body keeps the log from being closed until the process is killed.
_ENDING_SECONDS = 5

#: A tracking server that is down is tried again soon anyway.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def make_service(settings: Settings, *, small: bool = False) -> PredictionService:
    """Make the prediction service of the settings; nothing runs yet.

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
    registry = MlflowRegistry(
        settings.tracking_uri,
        registered_name(settings.service),
        folder / "models",
        machine_code=not small,
        outbox=outbox,
    )
    live = ModelManager(registry, folder, settings.serving_refresh_seconds, _settle, outbox)
    log = make_log(settings, lambda: live.now.shadow, apart=not small)
    log.make_spool = _Spools(folder / "spool", log.rules.buffer * RECORD_BYTES)
    return PredictionService(settings.service, live, log, ServerMetrics(live, log))


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
    shadow: Callable[[], ServedVersion | None] = lambda: None,
    *,
    apart: bool = False,
) -> RequestLog:
    """The request log, by the settings; nothing is written yet.

    Parameters
    ----------
    shadow
        The version whose answers are compared, if there is one at the moment.
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
        shadow,
        writer=ProcessWriter(url, folder, inputs=inputs) if apart else None,
    )


def make_app(settings: Settings) -> ASGIApp:
    """Make the application behind the tokens of the serving folder."""
    tokens = KnownTokens(token_file(settings), settings.serving_rate, settings.service)
    app = create_app(
        make_service(settings),
        BearerTokens(tokens, settings.serving_refresh_seconds),
        max_bytes=settings.serving_max_bytes,
        max_trips=settings.serving_max_trips,
    )
    return let_pages_ask(app, split_list(settings.serving_cors_origins))


def let_pages_ask(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of these origins ask from a browser, with a token and without cookies (CORS).

    A browser asks without a token first whether it may ask, so this stands before the guard.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "POST"),
        allow_headers=("Authorization", "Content-Type", "X-Request-Key", "X-Moment"),
    )


def token_file(settings: Settings) -> TokenFile:
    """The tokens of this server."""
    told = settings.serving_tokens
    return TokenFile(Path(told) if told else settings.serving_folder / "tokens.json")


def run(settings: Settings) -> None:
    """Serve until the process is told to stop."""
    serve(make_app(settings), settings)


def wait_less() -> None:
    """Give up an MLflow server that is down sooner, unless the environment says otherwise."""
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)


def serve(app: ASGIApp, settings: Settings) -> None:
    """Serve an application until the process is told to stop."""
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
