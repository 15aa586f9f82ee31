"""Stores as version aa3853a has written them, unpacked for today's code; see README.md."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import json
import logging
import sqlite3
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

ARCHIVE = Path(__file__).with_name("aa3853a.tar.xz")
#: The bucket that the stores name everywhere.
BUCKET = "trip-duration"


@dataclass(frozen=True)
class OldStores:
    """The stores in a folder of their own, in which today's code may write.

    Parameters
    ----------
    folder
        Holds the state folder, and the objects of the bucket.
    """

    folder: Path

    @property
    def state(self) -> Path:
        """Folder of the local stack: databases, artifacts, serving folder, keys."""
        return self.folder / "state"

    @property
    def storage_root(self) -> str:
        """Address of the bucket, in which months, results and products are."""
        return f"s3://{BUCKET}"

    @functools.cached_property
    def expected(self) -> dict[str, Any]:
        """Answers of the code that has written the stores."""
        found: dict[str, Any] = json.loads((self.folder / "expected.json").read_text())
        return found

    def rows(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        """Return rows of Airflow's database."""
        database = self.state / "airflow" / "airflow.db"
        with contextlib.closing(sqlite3.connect(database)) as connection:
            return connection.execute(statement, values).fetchall()

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return the result of a task that is not mapped, as today's code reads it."""
        (value,) = self.rows(
            "select value from xcom where key = 'return_value' and map_index = -1 "
            "and dag_id = ? and run_id = ? and task_id = ?",
            *(dag_id, run_id, task_id),
        )[0]
        return as_result(value)


def as_result(stored: Any) -> Any:
    """Read the value of a row of Airflow's table of results."""
    from model_loop.orchestration.xcom import ModelLoopXComBackend

    # SQLite gives numbers back as such.
    value = json.loads(stored) if isinstance(stored, str) else stored
    return ModelLoopXComBackend.deserialize_value(SimpleNamespace(value=value))


def unpack(folder: Path) -> OldStores:
    """Unpack the stores into a folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return OldStores(folder)


@contextlib.contextmanager
def object_store(stores: OldStores) -> Iterator[dict[str, str]]:
    """Serve the objects of the bucket; yield the environment by which every client finds them."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        S3FileSystem.clear_instance_cache()
        bucket = boto3.resource("s3").Bucket(BUCKET)
        bucket.create()
        root = stores.folder / "s3"
        for path in sorted(root.rglob("*")):
            if path.is_file():
                bucket.put_object(Key=str(path.relative_to(root)), Body=path.read_bytes())
        _restore_times(stores)
        yield environment
        # The servers of a process share what they hold.
        bucket.objects.delete()
        bucket.delete()
        S3FileSystem.clear_instance_cache()
    server.stop()


def _restore_times(stores: OldStores) -> None:
    """Give predictions the time at which they were written: they are known by it."""
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for path in (stores.folder / "s3" / "scoring").rglob("result.json"):
        kept = json.loads(path.read_text())
        written = backend.get_object(BUCKET, kept["result"]["output"].partition(f"{BUCKET}/")[2])
        assert written is not None
        at = dt.datetime.fromisoformat(json.loads(kept["output"])["LastModified"])
        written.last_modified = at.replace(tzinfo=None)
