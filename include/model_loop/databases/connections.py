"""Connections to databases, by the ids that Airflow has for them.

Airflow's own environment variable, ``AIRFLOW_CONN_WAREHOUSE``, is their one home outside Airflow.
Inside, `orchestration` says where else they are looked up.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from model_loop.errors import InvalidInputError
from model_loop.masking import MASK

DatabaseKind = Literal["postgres", "duckdb"]

#: Names that connections have for the databases that are read.
_KINDS: Mapping[str, DatabaseKind] = MappingProxyType(
    {"postgres": "postgres", "postgresql": "postgres", "duckdb": "duckdb"}
)
_EXAMPLES = "postgres://reader:PASSWORD@host:5432/database or duckdb:////data/warehouse.duckdb"
# Airflow's key of options that are no texts.
_EXTRA = "__extra__"
#: Parameters of libpq that a connection may set. Others, such as those of hooks, are left out.
_OF_LIBPQ = frozenset(
    {
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslnegotiation", "sslpassword"),
        *("channel_binding", "gssencmode", "krbsrvname", "require_auth", "target_session_attrs"),
        *("hostaddr", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
        *("tcp_user_timeout", "load_balance_hosts"),
    }
)


@dataclass(frozen=True)
class DatabaseConnection:
    """A connection to a database.

    Parameters
    ----------
    name
        Its id.
    kind
        Kind of the database.
    host, port, login, password, database
        Server, user and database of Postgres; `database` is the path of the file of DuckDB.
    options
        Further parameters of libpq, such as ``sslmode``.
    """

    name: str
    kind: DatabaseKind
    database: str
    host: str = ""
    port: int | None = None
    login: str = ""
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """Read a connection as Airflow writes it: an address, or an object of JSON.

        Raises
        ------
        InvalidInputError
            If it is neither, or of a database that is not read. The text is not shown.
        """
        try:
            fields = _of_json(text) if text.lstrip().startswith("{") else _of_address(text)
            kind = _KINDS.get(str(fields.pop("kind")).lower().replace("-", "_"))
            fields["port"] = int(fields["port"]) if fields["port"] else None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _refused(name, "cannot be read: it is no address, and no JSON") from None
        if kind is None:
            raise _refused(name, "is of a database that is not read")
        if kind == "duckdb":
            path = fields["host"] or fields["database"]
            return cls(name, kind, path if path.startswith("/") else f"/{path}")
        fields["options"] = {
            key: value for key, value in fields["options"].items() if key in _OF_LIBPQ
        }
        return cls(name, kind, **fields)

    @property
    def address(self) -> str:
        """Address for libpq, with the password: for the driver alone."""
        login = quote(self.login, safe="")
        login += f":{quote(self.password, safe='')}" if self.password else ""
        port = f":{self.port}" if self.port else ""
        query = f"?{urlencode(self.options, quote_via=quote)}" if self.options else ""
        host = quote(self.host, safe="[]:")
        at = "@" if login else ""
        return f"postgresql://{login}{at}{host}{port}/{quote(self.database, safe='')}{query}"

    def masked(self, text: str) -> str:
        """Return a text without the password, wherever the database repeats it."""
        for secret in {self.password, quote(self.password, safe="")} - {""}:
            text = text.replace(secret, MASK)
        return text


def _of_json(text: str) -> dict[str, Any]:
    given = json.loads(text)
    extra = given.get("extra") or {}
    extra = json.loads(extra) if isinstance(extra, str) else extra
    return {
        "kind": given["conn_type"],
        "host": given.get("host") or "",
        "port": given.get("port"),
        "login": given.get("login") or "",
        "password": given.get("password") or "",
        "database": given.get("schema") or "",
        "options": {key: value for key, value in extra.items() if isinstance(value, str)},
    }


def _of_address(text: str) -> dict[str, Any]:
    parts = urlsplit(text)
    options = dict(parse_qsl(parts.query))
    extra = json.loads(options.pop(_EXTRA, "{}"))
    path = unquote(parts.path)
    options |= {key: value for key, value in extra.items() if isinstance(value, str)}
    return {
        "kind": parts.scheme,
        "host": unquote(parts.hostname or ""),
        "port": parts.port,
        "login": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        # A path of a file may begin with a slash of its own, after that of the address.
        "database": path.removeprefix("/"),
        "options": options,
    }


def _refused(name: str, rule: str) -> InvalidInputError:
    return InvalidInputError(
        f"The connection {name}", rule, f"Give it as {_EXAMPLES}, or as JSON with conn_type."
    )


Lookup = Callable[[str], str | None]


def variable_of(name: str) -> str:
    """Return the environment variable in which Airflow looks for a connection."""
    return f"AIRFLOW_CONN_{name.upper()}"


def _of_environment(name: str) -> str | None:
    return os.environ.get(variable_of(name))


_lookups: list[Lookup] = [_of_environment]
_given: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar(
    "connections", default=MappingProxyType({})
)


def look_up_by(lookup: Lookup) -> None:
    """Look connections up by a function of Airflow's, where the environment has none."""
    _lookups[1:] = [lookup]


@contextlib.contextmanager
def given_connections(texts: Mapping[str, str]) -> Iterator[None]:
    """Use connections that were looked up before, in this block and in threads that it starts."""
    token = _given.set(texts)
    try:
        yield
    finally:
        _given.reset(token)


def connection_of(name: str) -> DatabaseConnection:
    """Return the connection of an id.

    Raises
    ------
    InvalidInputError
        If there is none, or it is of a database that is not read.
    """
    given = _given.get()
    text = given.get(name)
    for lookup in () if name in given else _lookups:
        text = text or lookup(name)
    if not text:
        raise InvalidInputError(
            f"The connection {name}",
            "is not there",
            f"Add it to Airflow, or set {variable_of(name)} to {_EXAMPLES}.",
        )
    return DatabaseConnection.parse(name, text)
