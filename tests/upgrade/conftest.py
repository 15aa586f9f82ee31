"""The old stores behind an object store and a tracking server, for the tests of one file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.commands import run_command
from tests.servers import mlflow_server
from tests.upgrade.stores import OldStores, object_store, unpack

from model_loop.tracking.runs import Tracker
from model_loop.tracking.versions import ModelVersions


@dataclass(frozen=True)
class Served:
    """The old stores, as today's commands find them.

    Parameters
    ----------
    stores
        The files.
    tracking_uri
        Address of a tracking server over them.
    environment
        What a command has to be told.
    """

    stores: OldStores
    tracking_uri: str
    environment: dict[str, str]

    @property
    def expected(self) -> dict[str, Any]:
        """Answers of the code that has written the stores."""
        return self.stores.expected

    @property
    def versions(self) -> ModelVersions:
        """The versions of the service."""
        return ModelVersions(Tracker(self.tracking_uri, "trip-duration-promotion"), "green")

    def command(self, *arguments: str) -> CompletedProcess[str]:
        """Run ``model-loop`` to its good end."""
        environment = {**os.environ, **self.environment}
        done = run_command(*arguments, folder=self.stores.folder, environment=environment)
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The stores, unpacked anew for each file of tests."""
    stores = unpack(tmp_path_factory.mktemp("aa3853a"))
    with object_store(stores) as storage, mlflow_server(stores.state / "mlflow") as url:
        environment = {
            **storage,
            "MODEL_LOOP_STATE": str(stores.state),
            "MODEL_LOOP_STORAGE_ROOT": stores.storage_root,
            "MODEL_LOOP_TRACKING_URI": url,
            "MODEL_LOOP_SAMPLE_TRIPS_PER_MONTH": "600",
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"{stores.storage_root}/xcom",
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            yield Served(stores, url, environment)
