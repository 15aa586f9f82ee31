"""The commands around the prediction server: serve, tokens."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import App, Parameter
from rich import box
from rich.console import Console
from rich.table import Table

from trip_duration.settings import get_settings

tokens = App(name="tokens", help="Bearer tokens of the prediction server: add, list, revoke.")

AsJson = Annotated[bool, Parameter(name="--json", negative=())]

_settings = get_settings()


def serve(
    *,
    service: str = _settings.service,
    host: str = _settings.serving_host,
    port: int = _settings.serving_port,
) -> None:
    """Answer predictions over HTTP, behind bearer tokens.

    Every setting of the server is in docs/reference.md.

    Parameters
    ----------
    service
        Whose trips: green, yellow or fhvhv.
    host
        Network address to listen on; 0.0.0.0 for all.
    port
        Port to listen on; 0 for a free one.
    """
    from trip_duration.serving.standalone import run, token_file
    from trip_duration.trips.services import get_service

    changes = {
        "service": get_service(service).name,
        "serving_host": host,
        "serving_port": port,
    }
    settings = get_settings().model_copy(update=changes)
    if not token_file(settings).read():
        Console(stderr=True).print(
            "There is no token yet, so nobody may ask: make one with `trip-duration tokens add NAME`."
        )
    run(settings)


@tokens.command
def add(name: str, *, rate: float | None = None, as_json: AsJson = False) -> None:
    """Make a token and print it, once.

    Parameters
    ----------
    name
        Of the application or person; it stands in the request log.
    rate
        Requests per second; 0 sets no limit, and without it the setting counts.
    as_json
        Print one JSON object, for machines.
    """
    secret = _file().add(name, rate)
    print(json.dumps({"name": name, "token": secret}) if as_json else secret)  # noqa: T201 - the command's answer


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
        rows = [{"name": one.name, "rate": one.rate, "made": one.made} for one in known]
        print(json.dumps({"tokens": rows}))  # noqa: T201 - the command's answer
        return
    table = Table("name", "requests per second", box=box.SIMPLE_HEAD)
    for one in known:
        table.add_row(one.name, "setting" if one.rate is None else f"{one.rate:g}" if one.rate else "no limit")
    Console().print(table)


@tokens.command
def revoke(name: str) -> None:
    """Take a token back; running servers notice within seconds.

    Parameters
    ----------
    name
        Of the token.
    """
    _file().revoke(name)


def _file():  # type: ignore[no-untyped-def]  # noqa: ANN202
    from trip_duration.serving.standalone import token_file

    return token_file(get_settings())
