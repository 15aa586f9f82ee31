"""What the real stores hold: MLflow, the bucket, the request log, the mails."""

from __future__ import annotations

import email
import email.policy
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg
import pyarrow.parquet as pq
import requests
import s3fs
from tests.production.faults.cluster import Cluster
from tests.production.processes import HOST

MODEL = "trip_duration_green"
_BUCKET = "trip-duration"
_PRODUCTS = f"{_BUCKET}/storage/products/training_set"
#: The headline of an alert, and the run among its details.
_FAILURE = re.compile(r"^(\S+) failed\b.*\n=+\n(?:.*\n)*?Run: (\S+)$", re.MULTILINE)
_SCORED = f"{_BUCKET}/storage/scored"


@dataclass
class Stores:
    """Reads everything anew at each question, past the network that can be broken."""

    cluster: Cluster

    def champion(self) -> int | None:
        """The version that has the alias."""
        found = self._mlflow("GET", "registered-models/get", params={"name": MODEL})
        # Without aliases, the answer does not name them.
        known = found["registered_model"].get("aliases", [])
        aliases = {one["alias"]: one["version"] for one in known}
        return int(aliases["champion"]) if "champion" in aliases else None

    def versions(self) -> dict[int, dict[str, Any]]:
        """Every registered version by its number."""
        return {
            int(one["version"]): one
            for one in self._pages("GET", "model-versions/search", "model_versions")
        }

    def runs(self) -> list[dict[str, Any]]:
        """Every run on the tracking server, with its tags as a mapping; the oldest first."""
        experiments = self._pages("POST", "experiments/search", "experiments", max_results=100)
        ids = [one["experiment_id"] for one in experiments]
        found = []
        for run in self._pages(
            "POST", "runs/search", "runs", experiment_ids=ids, max_results=1_000
        ):
            tags = {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}
            found.append({**run["info"], "tags": tags})
        return sorted(found, key=lambda run: (int(run["start_time"]), run["run_id"]))

    def model_files(self, version: dict[str, Any]) -> dict[str, int]:
        """The files of a version, with their sizes."""
        # models:/m-…
        model_id = version["source"].rpartition("/")[2]
        logged = self._mlflow("GET", f"logged-models/{model_id}")["model"]["info"]
        # The server hides where they are behind an address of its own.
        place = logged["artifact_uri"].removeprefix("mlflow-artifacts:/")
        return {
            str(path): int(info["size"])
            for path, info in self.bucket.find(f"{_BUCKET}/mlflow/{place}", detail=True).items()
        }

    def products(self) -> Iterator[tuple[str, str | None]]:
        """Every entry of a training set, with what is wrong about its object."""
        for path in self.bucket.glob(f"{_PRODUCTS}/*.json"):
            reference = json.loads(self.bucket.cat_file(path))["reference"]
            try:
                content = self.bucket.cat_file(reference["uri"])
            except FileNotFoundError:
                yield path, f"{reference['uri']} is gone"
                continue
            same = hashlib.sha256(content).hexdigest() == reference["digest"]
            yield path, None if same else f"{reference['uri']} has another digest"

    def scored(self) -> Iterator[tuple[str, int, int]]:
        """Every output of a batch: its rows, and how many of them hold a prediction."""
        if not self.bucket.exists(_SCORED):
            return
        for path in self.bucket.find(_SCORED):
            name = path.rpartition("/")[2]
            if ".rejected." in name or name.startswith(".") or not name.endswith(".parquet"):
                continue
            with self.bucket.open(path) as file:
                column = pq.read_table(file, columns=["predicted_minutes"]).column(0)
            yield path, len(column), len(column) - column.null_count

    def leftovers(self) -> list[str]:
        """What killed writers have left beside what they wrote."""
        return [path for path in self.bucket.find(_BUCKET) if path.endswith(".partial")]

    def logged(self, ids: Iterable[str]) -> dict[str, tuple[float, int]]:
        """Minutes and version of predictions that are in the request log."""
        password = self.cluster.secrets["REQUESTS_DB_PASSWORD"]
        address = f"postgresql://requests:{password}@{HOST}:{self.cluster.ports['postgres']}"
        query = "SELECT prediction_id, minutes, version FROM predictions WHERE prediction_id = ANY"
        with psycopg.connect(f"{address}/requests", connect_timeout=10) as connection:
            rows = connection.execute(f"{query}(%s)", [list(ids)]).fetchall()
        return {one: (minutes, version) for one, minutes, version in rows}

    def failures_told(self) -> list[tuple[str, str]]:
        """DAG and run of every failure that was told; one mail may tell of several."""
        found = []
        for path in (self.cluster.folder / "mail").glob("new/*"):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            body = message.get_body(("plain",))
            if body is not None:
                found += _FAILURE.findall(str(body.get_content()).replace("\r", ""))
        return found

    @cached_property
    def bucket(self) -> s3fs.S3FileSystem:
        """The object store, asked anew at each question."""
        return s3fs.S3FileSystem(
            key="any",
            secret="any",
            endpoint_url=self.cluster.url("s3"),
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def _pages(self, method: str, path: str, name: str, **body: Any) -> Iterator[dict[str, Any]]:
        token = None
        while True:
            page = {**body, **({"page_token": token} if token else {})}
            sent = {"params": page} if method == "GET" else {"json": page}
            found = self._mlflow(method, path, **sent)
            yield from found.get(name, [])
            token = found.get("next_page_token")
            if not token:
                return

    def _mlflow(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        url = f"{self.cluster.url('mlflow')}/api/2.0/mlflow/{path}"
        login = ("admin", self.cluster.secrets["MLFLOW_ADMIN_PASSWORD"])
        answer = requests.request(method, url, auth=login, timeout=30, **sent)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found
