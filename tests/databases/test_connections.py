"""Connections as Airflow writes them."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import Connection

from model_loop.databases import connections
from model_loop.databases.connections import (
    DatabaseConnection,
    connection_of,
    given_connections,
    look_up_by,
)
from model_loop.errors import InvalidInputError

#: A password with every sign that an address could fall over.
SECRET = "p@ss/w:rd?#%&="  # noqa: S105 - of no server


def fields(**changes: object) -> dict[str, object]:
    """Fields of a connection of Airflow, with a difficult password."""
    return {
        "conn_type": "postgres",
        "host": "db.example.org",
        "port": 5433,
        "login": "reader",
        "password": SECRET,
        "schema": "rides",
        "extra": json.dumps({"sslmode": "require", "cursor": "dictcursor"}),
        **changes,
    }


@pytest.mark.parametrize("as_json", [True, False])
def test_both_of_airflows_ways_are_read(*, as_json: bool) -> None:
    """An address and an object of JSON, as Airflow itself writes them, are the same connection."""
    given = Connection(conn_id="warehouse", **fields())  # type: ignore[arg-type]  # by name
    text = given.as_json() if as_json else given.get_uri()
    found = DatabaseConnection.parse("warehouse", text)
    assert (found.host, found.port, found.login) == ("db.example.org", 5433, "reader")
    assert (found.password, found.database) == (SECRET, "rides")
    assert found.address.endswith("@db.example.org:5433/rides?sslmode=require")
    assert DatabaseConnection.parse("warehouse", found.address) == found


@pytest.mark.parametrize(
    "text",
    [
        "duckdb:////data/warehouse.duckdb",
        "duckdb:///data/warehouse.duckdb",
        Connection(conn_id="w", conn_type="duckdb", host="/data/warehouse.duckdb").get_uri(),
        Connection(conn_id="w", conn_type="duckdb", schema="data/warehouse.duckdb").get_uri(),
        '{"conn_type": "duckdb", "host": "/data/warehouse.duckdb"}',
    ],
)
def test_a_file_of_duckdb_is_its_path(text: str) -> None:
    """Wherever a form of Airflow's puts the path, it is that of one file."""
    assert DatabaseConnection.parse("w", text).database == "/data/warehouse.duckdb"


@pytest.mark.parametrize(
    "text", [f"mysql://reader:{'x' * 9}@db/rides", "{broken", "postgres://db:port/rides", "[]{"]
)
def test_a_connection_that_is_none_is_not_shown(text: str) -> None:
    """The error names the connection, and what it should be, and nothing of what it is."""
    with pytest.raises(InvalidInputError) as error:
        DatabaseConnection.parse("warehouse", text)
    assert "warehouse" in str(error.value)
    assert "xxxx" not in str(error.value)


def test_no_secret_stands_in_a_text_of_it() -> None:
    """Neither its text nor what the database repeats of it holds the password."""
    found = DatabaseConnection.parse("w", json.dumps(fields()))
    assert SECRET not in repr(found)
    assert "sslmode" not in repr(found)
    assert SECRET not in found.masked(f'failed for "{SECRET}" and {found.address}')
    assert "p%40ss" not in found.masked(found.address)


def test_where_a_connection_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment comes before Airflow; what was looked up before comes first."""
    monkeypatch.setattr(connections, "_lookups", list(connections._lookups))
    with pytest.raises(InvalidInputError, match="set AIRFLOW_CONN_WAREHOUSE to"):
        connection_of("warehouse")
    look_up_by(lambda name: f"postgres://of-airflow/{name}")
    assert connection_of("warehouse").host == "of-airflow"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://of-environment/x")
    assert connection_of("warehouse").host == "of-environment"
    with given_connections({"warehouse": "postgres://given/x"}):
        assert connection_of("warehouse").host == "given"
    assert connection_of("warehouse").host == "of-environment"
