"""Half a year of bikes in a folder of its own, and the commands in it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from tests.commands import COMMAND, run_command
from tests.servers import free_port, tracking_database, wait_for

from model_loop.datasets.registry import datasets_folder

#: Months that are learned from and judged by; rows of the last one are asked for.
FIRST, LAST = "2012-01", "2012-06"
LATER = ["instant", "casual", "registered", "cnt"]
ROWS = 40


class Bikes:
    """A folder with half a year of bikes, and the commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "MODEL_LOOP_STATE": str(folder / "state"),
            "MODEL_LOOP_VARIANT": "bikes",
            "MODEL_LOOP_DATASETS_FOLDER": str(folder),
            "MODEL_LOOP_TRACKING_URI": tracking_database(folder / "mlflow.db"),
            "MODEL_LOOP_SERVING_PORT": str(self.port),
            "MODEL_LOOP_SERVING_REFRESH_SECONDS": "0.3",
            "MODEL_LOOP_REQUEST_LOG_FLUSH_SECONDS": "0.2",
            "MODEL_LOOP_XGBOOST_THREADS": "1",
        }
        (folder / "data").mkdir()
        text = (datasets_folder() / "bikes.toml").read_text()
        (folder / "bikes.toml").write_text(text)
        table = pd.read_csv(datasets_folder() / "data" / "bikes_hourly.csv.gz")
        self.table = table[table["dteday"].between(f"{FIRST}-01", f"{LAST}-31")]
        self.table.to_csv(folder / "data" / "bikes_hourly.csv.gz", index=False)
        self.asked = self.table.tail(ROWS).drop(columns=LATER)
        self.asked.to_csv(folder / "asked.csv", index=False)

    def run(self, *arguments: str, code: int = 0) -> str:
        """Return what a command prints; it ends with an exit code."""
        done = run_command(*arguments, folder=self.folder, environment=self.environment)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout

    def read(self, *arguments: str, code: int = 0) -> Any:
        """Return the JSON of a command."""
        return json.loads(self.run(*arguments, "--json", code=code))

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server, and wait until it answers."""
        log = self.folder / "serve.log"
        with log.open("a") as out:
            process = subprocess.Popen(
                [COMMAND, "serve"], cwd=self.folder, env=self.environment, stdout=out, stderr=out
            )
        wait_for(f"{self.url}/readyz", process, log)
        return process

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Run the server."""
        process = self.start()
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
