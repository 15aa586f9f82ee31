"""The commands around the prediction server: serve, tokens, traffic, request log, client code."""

from __future__ import annotations

import datetime as dt
import getpass
import json
import logging
import sys
import time
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich import box
from rich.table import Table

from model_loop.cli.codes import ExitCode
from model_loop.cli.console import console
from model_loop.cli.options import AsJson, Variant, trained_variant
from model_loop.datasets.registry import choose_variant, dataset_of_variant
from model_loop.days import SECONDS_PER_DAY
from model_loop.errors import require_within
from model_loop.serving.http.tokens import USUAL_RIGHTS, Right
from model_loop.settings import get_settings
from model_loop.tracking.actions import SWITCHES, Action

if TYPE_CHECKING:
    from model_loop.datasets.dataset import Target
    from model_loop.serving.comparison.report import VersionComparison
    from model_loop.serving.http.tokens import TokenFile

tokens = App(name="tokens", help="Bearer tokens of the prediction server: add, list, revoke.")


#: Values that follow their option, as many as there are.
_Several = Parameter(consume_multiple=True, negative=())

_settings = get_settings()

logger = logging.getLogger(__name__)


def serve(
    *,
    variant: Variant = _settings.variant,
    host: str = _settings.serving_host,
    port: int = _settings.serving_port,
) -> None:
    """Answer predictions over HTTP, behind bearer tokens.

    Every setting of the server is in docs/reference.md.

    Parameters
    ----------
    variant
        Variant that answers at /predict; a dataset, if it has one variant alone.
    host
        Network address to listen on; 0.0.0.0 for all.
    port
        Port to listen on; 0 for a free one.
    """
    from model_loop.serving.http.server import run_server, token_file

    changes = {
        "variant": choose_variant(variant)[1].key,
        "serving_host": host,
        "serving_port": port,
    }
    settings = get_settings().model_copy(update=changes)
    if not token_file(settings).read():
        console(stderr=True).print(
            "There is no token yet, so nobody may ask: `model-loop tokens add NAME` makes one."
        )
    run_server(settings)


@tokens.command
def add(
    name: str,
    *,
    scopes: Annotated[tuple[Right, ...], _Several] = USUAL_RIGHTS,
    datasets: Annotated[list[str] | None, _Several] = None,
    days: float | None = None,
    rate: float | None = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, once.

    Parameters
    ----------
    name
        Name of the application or person; it is written into the request log.
    scopes
        Rights of the token: predict, feedback, read (the log, models, metrics, reports), or admin
        for everything.
    datasets
        Datasets and variants that it may ask, by their exact names; without it, all.
    days
        Days until it expires; without it, it is valid until it is revoked.
    rate
        Requests per second; 0 sets no limit, and without it the setting counts.
    as_json
        Print one JSON object, for machines.
    """
    asked = None if datasets is None else [_asked(dataset) for dataset in datasets]
    secret = _file().add(name, rate, scopes=scopes, datasets=asked, days=days)
    print(json.dumps({"name": name, "token": secret}) if as_json else secret)  # noqa: T201 - the command's answer


def _asked(name: str) -> str:
    """Check the name of a dataset or the key of a variant."""
    from model_loop.datasets.registry import dataset_names, find_variant

    return name if name in dataset_names() else find_variant(name)[1].key


@tokens.command(name="list")
def list_tokens(*, as_json: AsJson = False) -> None:
    """List the tokens; their secrets are not kept.

    Parameters
    ----------
    as_json
        Print one JSON object, for machines.
    """
    known = _file().read()
    if as_json:
        rows = [
            {
                "name": token.name,
                "scopes": token.scopes,
                "datasets": token.datasets,
                "expires": token.expires,
                "rate": token.limits.rate,
                "made": token.made,
            }
            for token in known
        ]
        print(json.dumps({"tokens": rows}))  # noqa: T201 - the command's answer
        return
    table = Table(
        "name", "scopes", "datasets", "expires (UTC)", "requests per second", box=box.SIMPLE_HEAD
    )
    for token in known:
        rate = token.limits.rate
        table.add_row(
            token.name,
            ", ".join(token.scopes),
            "all" if token.datasets is None else ", ".join(token.datasets),
            _end(token.expires),
            "setting" if rate is None else f"{rate:g}" if rate else "no limit",
        )
    console().print(table)


def _end(expires: float | None) -> str:
    if expires is None:
        return "never"
    ended = " (expired)" if time.time() >= expires else ""
    return f"{dt.datetime.fromtimestamp(expires, dt.UTC):%Y-%m-%d %H:%M}{ended}"


@tokens.command
def revoke(name: str) -> None:
    """Take a token back; running servers notice within seconds.

    Parameters
    ----------
    name
        Name of the token.
    """
    _file().revoke(name)


def run_runner() -> None:
    """Run models with code of their own, for servers and tasks that ask over HTTP.

    Its settings begin with MODEL_LOOP_RUNNER_; docs/how-to/own-code.md says how it is set up.
    """
    from model_loop.runner.service import run_runner as run

    run(_settings)


def client_code(
    language: str,
    *,
    url: str = f"http://127.0.0.1:{_settings.serving_port}",
    variant: Variant = _settings.variant,
) -> None:
    """Print a working request for a running server.

    The token is read from the environment variable MODEL_LOOP_TOKEN.

    Parameters
    ----------
    language
        curl, python or javascript.
    url
        Address of the server, or of its mount inside Airflow.
    variant
        Variant whose rows are asked; a dataset, if it has one variant alone.
    """
    from model_loop.client.code import request_code
    from model_loop.datasets.registry import choose_variant
    from model_loop.serving.http.openapi import example_row
    from model_loop.serving.http.server import paths_of

    dataset, chosen = choose_variant(variant)
    path = "" if chosen.key == _settings.variant else paths_of(chosen.key)[0]
    address = f"{url.rstrip('/')}{path}"
    print(request_code(language, address, example_row(dataset)), end="")  # noqa: T201 - the command's answer


def traffic(
    action: str,
    version: int | None = None,
    *,
    share: float = 0.1,
    why: str = "",
    moment: str | None = None,
    accept_generated_data: Annotated[bool, Parameter(negative=())] = False,
    variant: Variant = _settings.variant,
) -> None:
    """Decide which version answers, in one action that is written into the history.

    Parameters
    ----------
    action
        promote (switch all traffic), rollback (to the champion before), canary (give the version a
        share), end_canary, shadow (let it answer unseen), end_shadow, disable, enable or retire.
    version
        Number in the registry, where the action needs one.
    share
        canary: share of the requests.
    why
        For the history.
    moment
        Moment of the versions to move. Left out, the moment of the version;
        disable and enable mean all of them.
    accept_generated_data
        Let a model of generated data take the place of a champion of real data, or answer beside
        it; the history repeats it.
    variant
        Variant of the model; a dataset, if it has one variant alone.
    """
    from model_loop.tracking.choosing import promoter_for
    from model_loop.tracking.experiments import tracker_of

    wanted = Action(
        kind=action,  # type: ignore[arg-type]  # checked there
        service=trained_variant(variant, _settings.tracking_uri)[1].key,
        version=version,
        who=getpass.getuser(),
        why=why,
        share=share,
        accept_generated=accept_generated_data,
        everywhere=action in SWITCHES and moment is None,
    )
    settings, dataset = get_settings(), dataset_of_variant(wanted.service)
    tracker = tracker_of(dataset, settings.tracking_uri, settings.experiment, "promotion")
    asked_at = None if moment is None else dataset.check_moment(moment)
    promoter = promoter_for(tracker, wanted.service, wanted.kind, version, asked_at)
    entry = promoter.act(wanted, f"traffic/{uuid.uuid4()}")
    done = {"action": entry.kind, "moment": entry.moment, **asdict(entry.after)}
    print(json.dumps(done))  # noqa: T201 - the command's answer


def watch_canaries(*, variant: Variant = _settings.variant, as_json: AsJson = False) -> None:
    """Look at canaries, and end those that are due: for faults, by their errors or after days.

    The same that the DAG alerts does every five minutes. Each end is an entry of the history, and a
    mail that the DAG alerts delivers; a better version is proposed, and not promoted. Ends with
    exit code 1 if a canary has ended.

    Parameters
    ----------
    variant
        Variant of the model; a dataset, if it has one variant alone.
    as_json
        Print one JSON object, for machines.
    """
    from upath import UPath

    from model_loop.alerts.outbox import Outbox
    from model_loop.monitoring.canaries import CanaryRules, canary_alert, look_at_canaries
    from model_loop.serving.request_log.tables import open_log
    from model_loop.tracking.experiments import tracker_of
    from model_loop.tracking.versions import ModelVersions

    settings = get_settings()
    dataset, chosen = trained_variant(variant, settings.tracking_uri)
    tracker = tracker_of(dataset, settings.tracking_uri, settings.experiment, "promotion")
    engine = open_log(settings.request_log_url, settings.serving_folder)
    versions, out = ModelVersions(tracker, chosen.key), console()
    verdicts = []
    for verdict, entry in look_at_canaries(engine, versions, CanaryRules.of(settings)):
        if entry is not None and settings.alert_canary:
            outbox = Outbox(UPath(settings.storage_root) / "alerts")
            outbox.put(canary_alert(verdict, entry, tracker.run_url(entry.run_id)))
        verdicts.append(verdict.summary())
        if as_json:
            continue
        table = Table("check", "", "found", "wanted", box=box.SIMPLE_HEAD)
        for one in verdict.checks:
            table.add_row(one.name, one.outcome, one.found, one.wanted)
        out.print(f"Canary of {chosen.key}, {verdict.canary.share:.0%}: {verdict.why}.")
        out.print(table)
    if as_json:
        print(json.dumps({"canaries": verdicts}))  # noqa: T201 - the command's answer
    elif not verdicts:
        out.print("There is no canary.")
    if any(one["outcome"] == "end" for one in verdicts):
        sys.exit(ExitCode.NEGATIVE)


def ab_report(
    *,
    variant: Variant = _settings.variant,
    days: float = 30.0,
    as_json: AsJson = False,
) -> None:
    """Compare versions of a moment on predictions whose actual value is known.

    Days are compared, and the verdict may be read every day. Comparisons begin with the first day
    that both versions have.

    Parameters
    ----------
    variant
        Variant of the model; a dataset, if it has one variant alone.
    days
        Older predictions do not count for the errors of versions.
    as_json
        Print one JSON object, for machines.
    """
    require_within("days", days, above=0.0)
    from model_loop.serving.comparison.report import ab_report as compare
    from model_loop.serving.request_log.tables import open_log
    from model_loop.tracking.experiments import tracker_of
    from model_loop.tracking.history import History
    from model_loop.tracking.trained import dataset_of_version, registered_declaration
    from model_loop.tracking.versions import ModelVersions

    settings = get_settings()
    engine = open_log(settings.request_log_url, settings.serving_folder)
    since = time.time() - days * SECONDS_PER_DAY
    dataset, chosen = trained_variant(variant, settings.tracking_uri)
    tracker = tracker_of(dataset, settings.tracking_uri, settings.experiment, "promotion")
    versions = ModelVersions(tracker, chosen.key)
    moves = History(versions).moves

    def unit_of(version: int) -> str | None:
        try:
            text = registered_declaration(tracker.client, versions.name, version)
            return dataset_of_version(versions.name, version, text).target.unit
        except Exception:
            # Anything may lie in the store of an old version, and its log has been read.
            logger.exception("The unit of version %d is not known", version)
            return None

    report = compare(engine, chosen.key, versions.known_moment, since, moves=moves, unit_of=unit_of)
    rows = dataset.rows[0]
    if as_json:
        print(json.dumps(asdict(report)))  # noqa: T201 - the command's answer
        return
    classified = dataset.target.is_classified
    heads: tuple[str, ...] = ("MAE", "95 % interval", "RMSE", "bias")
    if classified:
        costs = dataset.target.labels.cost is not None
        heads = ("log loss", "95 % interval", *(("cost", "95 % interval") if costs else ()))
    table = Table("version", "moment", rows, *heads, box=box.SIMPLE_HEAD)
    shown = [(str(one.version), one) for one in report.versions]
    shown += [(f"{shadow.version} (shadow)", shadow) for shadow in report.shadows]
    for name, one in shown:
        figures = [f"{one.mae:.3f}", _between(one.mae_interval)]
        if not classified:
            figures += [f"{one.rmse:.3f}", f"{one.bias:+.3f}"]
        elif one.cost is not None:
            figures += [f"{one.cost:.3f}", _between(one.cost_interval)]
        table.add_row(name, one.moment or "not known", f"{one.rows:,}", *figures)
    out = console()
    out.print(table)
    for warning in report.warnings:
        out.print(f"Warning: {warning}.")
    for pair in (*report.comparisons, *report.paired):
        out.print(describe_comparison(pair, dataset.target))


def _between(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else "{:.3f} to {:.3f}".format(*interval)


def describe_comparison(pair: VersionComparison, target: Target) -> str:
    """Say what the days tell of two versions."""
    name = f"{'Shadow' if pair.paired else 'Version'} {pair.version} against {pair.against}"
    words = f"{name}{pair.by_measure}: {pair.verdict}"
    if pair.decided:
        words += f" (decided by {pair.decided})"
    if pair.difference is not None:
        words += f"; difference {target.with_unit(f'{pair.difference:+.3f}')}"
    if pair.interval is not None:
        words += " ({:+.3f} to {:+.3f})".format(*pair.interval)
    words += f" on {pair.days:,} {'day' if pair.days == 1 else 'days'}"
    if pair.open_days:
        words += f", {pair.open_days:,} more without enough true values yet"
    if pair.days_needed and not pair.decided:
        words += (
            f"; {target.with_unit(f'{pair.worthwhile:.3f}')} would take about "
            f"{pair.days_needed:,} days"
        )
    return f"{words}."


def export_requests(folder: Path, *, since: dt.date | None = None, as_json: AsJson = False) -> None:
    """Write the request log as Parquet files, one folder for each day.

    Parameters
    ----------
    folder
        Folder to write to; files of the same days are replaced.
    since
        First day, as 2024-03-01 (UTC).
    as_json
        Print one JSON object, for machines.
    """
    from model_loop.serving.request_log.export import export_log
    from model_loop.serving.request_log.tables import open_log

    settings = get_settings()
    engine = open_log(settings.request_log_url, settings.serving_folder)
    written = [str(path) for path in export_log(engine, folder, since)]
    print(json.dumps({"files": written}) if as_json else "\n".join(written))  # noqa: T201 - the command's answer


def _file() -> TokenFile:
    from model_loop.serving.http.server import token_file

    return token_file(get_settings())
