"""Databases with users of their own, made where they are missing."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

_ROLE = "SELECT 1 FROM pg_roles WHERE rolname = %s"
_DATABASE = "SELECT 1 FROM pg_database WHERE datname = %s"
#: Held while a database is migrated, so that of several servers one does it.
_LOCK = 747_269


@dataclass(frozen=True)
class Database:
    """A database and the user who owns it.

    Parameters
    ----------
    name
        Name of the database.
    user
        Owner, who may look into no other database.
    password
        Password of the user.
    """

    name: str
    user: str
    password: str = field(repr=False)


def make_databases(url: str, wanted: Sequence[Database]) -> None:
    """Make users and databases that are missing, and give every user its password.

    Safe to repeat: a password that has changed is changed in Postgres too.

    Parameters
    ----------
    url
        Address of Postgres, as an administrator: ``postgresql://…``.
    wanted
        Databases that have to exist.

    Raises
    ------
    psycopg.Error
        If Postgres does not answer or refuses.
    """
    import psycopg  # noqa: PLC0415 - of the image, which has Postgres
    from psycopg import sql  # noqa: PLC0415 - as above

    with psycopg.connect(url, autocommit=True) as connection:
        for one in wanted:
            role, name = sql.Identifier(one.user), sql.Identifier(one.name)
            if not connection.execute(_ROLE, [one.user]).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
            connection.execute(
                sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(one.password))
            )
            if not connection.execute(_DATABASE, [one.name]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, role))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))


def migrate_mlflow(url: str) -> None:
    """Bring the tables of an earlier MLflow up to date; a fresh database is left to the server.

    MLflow makes what is missing by itself, but refuses to start on tables that are older than it.

    Parameters
    ----------
    url
        Address of MLflow's runs, in SQLAlchemy's form.

    Raises
    ------
    subprocess.CalledProcessError
        If MLflow cannot migrate it; it has said why.
    """
    from sqlalchemy import (  # noqa: PLC0415 - other commands need no database
        create_engine,
        func,
        inspect,
        select,
    )

    engine = create_engine(url)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_lock(_LOCK)))
        if inspect(connection).has_table("alembic_version"):
            subprocess.run(["mlflow", "db", "upgrade", url], check=True)  # noqa: S603, S607 - our own words, of this environment
    engine.dispose()
