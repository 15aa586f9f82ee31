"""Files over HTTP against the real server: accepted whole, scored, fetched, and held to bounds."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from tests.bikes import ROWS, Bikes

from model_loop.client import BatchFailedError, Client, ClientTimeoutError
from model_loop.client.errors import (
    ConflictingRequestError,
    ForbiddenRequestError,
    NothingThereError,
    RefusedInputError,
    ThrottledRequestError,
)
from model_loop.serving.batches.routes import _receive
from model_loop.serving.batches.store import AcceptedBatch, BatchRecord, BatchStore
from model_loop.serving.batches.worker import BatchWork, next_batch
from model_loop.serving.http.requests import RequestRefusedError
from model_loop.settings import Settings

ROOT = Path(__file__).parents[2]
#: Bounds of the server of these tests: small enough to be broken.
MAX_BYTES, UNPACKED, MAX_ROWS, PER_TOKEN = 2_000_000, 3_000_000, 5_000, 6


class Served(Bikes):
    """A server with small bounds."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "open").mkdir()
        self.environment |= {
            "MODEL_LOOP_BATCHES_MAX_BYTES": str(MAX_BYTES),
            "MODEL_LOOP_BATCHES_UNPACKED_BYTES": str(UNPACKED),
            "MODEL_LOOP_BATCHES_MAX_ROWS": str(MAX_ROWS),
            "MODEL_LOOP_BATCHES_PER_TOKEN": str(PER_TOKEN),
            "MODEL_LOOP_BATCHES_FOLDERS": str(folder / "open"),
            "MODEL_LOOP_SCORING_CHUNK_ROWS": "1000",
        }
        self.store = BatchStore(folder / "state" / "serving" / "batches")
        self._made = 0

    def open_files(self) -> int:
        """Return how many files and connections the server has open."""
        (process,) = (
            one
            for one in psutil.process_iter(["cmdline"])
            if "serve" in (one.info["cmdline"] or ()) and str(self.port) in str(one.environ())
        )
        return int(process.num_fds())

    def token(self, *options: str) -> str:
        """Make a token."""
        self._made += 1
        return self.run("tokens", "add", f"caller-{self._made}", "--rate", "0", *options).strip()

    def large(self, rows: int) -> Path:
        """Write a file with so many rows."""
        path = self.folder / f"large-{rows}.csv"
        repeated = pd.concat([self.asked] * (rows // ROWS + 1)).head(rows)
        repeated.to_csv(path, index=False)
        return path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of bikes with a champion."""
    made = Served(tmp_path_factory.mktemp("batches"))
    made.run("run", "bikes", "--models", "xgboost", "--evaluations", "1")
    with made.serving():
        yield made


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    """A client with a token of its own."""
    with Client(served.url, served.token()) as client:
        yield client


def post(served: Served, token: str, body: bytes, **headers: str) -> requests.Response:
    """Send a body as it is."""
    given = {"Authorization": f"Bearer {token}", **headers}
    return requests.post(f"{served.url}/batches", data=body, headers=given, timeout=60)


def test_a_file_is_scored_as_the_command_scores_it(
    served: Served, client: Client, tmp_path: Path
) -> None:
    """Row by row the same, with the rejected ones apart, and every row is counted once."""
    frame = served.asked.astype({"hum": object})
    frame.loc[frame.index[3], "hum"] = "wet"
    path = tmp_path / "asked.csv"
    frame.to_csv(path, index=False)
    execution = client.predict_file(path, level=80)
    status = execution.wait(120)
    assert (status.rows, status.read, status.predicted, status.rejected) == (ROWS, ROWS, 39, 1)
    assert status.model_version == 1
    found = pd.read_csv(execution.download(tmp_path / "result.csv"))
    served.run("score", str(path), "--level", "80")
    expected = pd.read_csv(tmp_path / "asked.predictions.csv")
    pd.testing.assert_frame_equal(
        found.drop(columns="prediction_id"), expected.drop(columns="prediction_id")
    )
    rejected = pd.read_csv(execution.download_rejected(tmp_path / "rejected.csv"))
    assert len(rejected) == 1
    assert "hum" in rejected["reason"][0]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("ending", ["parquet", "csv.gz", "csv.zip", "jsonl", "arrow"])
def test_formats(served: Served, client: Client, tmp_path: Path, ending: str) -> None:
    """All that batch scoring reads."""
    path = tmp_path / f"asked.{ending}"
    if ending == "parquet":
        served.asked.to_parquet(path)
    elif ending == "arrow":
        served.asked.reset_index(drop=True).to_feather(path)
    elif ending == "jsonl":
        served.asked.to_json(path, orient="records", lines=True)
    else:
        served.asked.to_csv(path, index=False)
    execution = client.predict_file(path)
    assert execution.wait(120).predicted == ROWS
    kind = pd.read_parquet if ending in {"parquet", "arrow"} else pd.read_csv
    read: Any = (lambda one: pd.read_json(one, lines=True)) if ending == "jsonl" else kind
    assert len(read(execution.download(tmp_path / "result"))) == ROWS
    before = served.open_files()
    for _ in range(20):
        with pytest.raises(NothingThereError):
            execution.download_rejected(tmp_path / "rejected")
    assert served.open_files() < before + 20, "what is not there is not kept open"


def test_chunks_of_an_earlier_process_are_no_progress(tmp_path: Path) -> None:
    """A process that ends again and again behind them is given up like any other."""
    store = BatchStore(tmp_path)
    record = BatchRecord(
        id="a" * 32,
        caller="ada",
        service="bikes",
        source="rows.csv",
        digest="",
        name="rows.csv",
        size=1,
        created=0.0,
    )
    with store.incoming() as folder:
        batch = store.accept(folder, record)
    work = BatchWork(batch, Settings())
    work._tell(attempts=3)
    result: Any = SimpleNamespace(rows=5, rejected=1)
    work._note_chunk(result, scored=False)
    assert batch.progress().attempts == 3
    work._note_chunk(result, scored=True)
    assert batch.progress().attempts == 0
    assert not batch.cancelled
    path = batch.folder / "batch.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "of_a_later_version": 1}))
    assert store.listed()[0].record == record
    batch.remove()
    assert batch.cancelled, "what was removed is not gone on with"


def test_the_answer_leads_to_the_state(served: Served) -> None:
    """202, with the address of what was accepted."""
    token = served.token()
    answer = post(served, token, served.asked.to_csv(index=False).encode())
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/batches/{answer.json()['id']}"
    looked = requests.get(
        f"{served.url}{answer.headers['Location']}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    )
    assert looked.json()["bytes"] == len(served.asked.to_csv(index=False).encode())
    named = requests.get(
        f"{served.url}/bikes/batches", headers={"Authorization": f"Bearer {token}"}, timeout=60
    )
    assert [one["id"] for one in named.json()["batches"]] == [answer.json()["id"]]


def test_what_nobody_else_may_see(served: Served, client: Client, tmp_path: Path) -> None:
    """A batch is its token's, and the operators'."""
    execution = client.predict_file(served.folder / "asked.csv")
    execution.wait(120)
    other = Client(served.url, served.token()).execution(execution.id)
    for ask in (other.status, other.cancel, other.remove):
        with pytest.raises(NothingThereError):
            ask()
    with pytest.raises(NothingThereError):
        other.download(tmp_path / "stolen.csv")
    assert Client(served.url, served.token()).executions() == []
    operator = Client(served.url, served.token("--scopes", "admin"))
    assert operator.execution(execution.id).status().state == "done"
    assert execution.id in {one.id for one in operator.executions()}
    reader = Client(served.url, served.token("--scopes", "read"))
    with pytest.raises(ForbiddenRequestError):
        reader.executions()
    with pytest.raises(ForbiddenRequestError):
        reader.predict_file(served.folder / "asked.csv")


@pytest.mark.parametrize(
    "strange", ["..", "%2e%2e%2f%2e%2e", "0" * 31, "0" * 33, "0" * 32, "A" * 32, "a%00", "a/../b"]
)
def test_ids_that_are_none(served: Served, client: Client, strange: str) -> None:
    """No id leads to another path."""
    with pytest.raises(NothingThereError):
        client.execution(strange).status()
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    bearer = {"Authorization": f"Bearer {served.token()}"}
    connection.request("GET", f"/batches/{strange}/result", headers=bearer)
    assert connection.getresponse().status == 404
    connection.close()


def test_keys(served: Served, client: Client, tmp_path: Path) -> None:
    """The same key and file are the same batch; another file or option is refused."""
    path = served.folder / "asked.csv"
    first = client.predict_file(path, key="monday")
    assert client.predict_file(path, key="monday").id == first.id
    assert len(client.executions()) == 1
    assert client.predict_file(path, key="tuesday").id != first.id
    changed = tmp_path / "asked.csv"
    changed.write_text(path.read_text() + "\n")
    for other, level in ((changed, None), (path, 80.0)):
        with pytest.raises(ConflictingRequestError, match="Idempotency-Key"):
            client.predict_file(other, key="monday", level=level)
    assert Client(served.url, served.token()).predict_file(path, key="monday").id != first.id
    with pytest.raises(RefusedInputError):
        client.predict_file(path, key="two words")


def _zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", data)
    return file.getvalue()


def _parquet(rows: int, columns: int = 1) -> bytes:
    file = io.BytesIO()
    pq.write_table(
        pa.table({f"c{one}": pa.nulls(rows, pa.int32()) for one in range(columns)}), file
    )
    return file.getvalue()


def _short_trailer(data: bytes) -> bytes:
    """Pack bytes, and say at the end that they are few."""
    return gzip.compress(data)[:-4] + (10).to_bytes(4, "little")


LIES: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "too large": (b"a" * (MAX_BYTES + 1), {}, 413, "bytes"),
    "empty": (b"", {}, 422, "empty"),
    "a workbook": (b"\xd0\xcf\x11\xe0" + b"0" * 100, {}, 422, "Excel"),
    "a page": (b"<!doctype html><html></html>", {}, 422, "web page"),
    "Parquet as CSV": (_parquet(3), {"Content-Type": "text/csv"}, 422, "Parquet"),
    "CSV as Parquet": (b"a,b\n1,2\n", {"Content-Type": "application/x-parquet"}, 422, "CSV"),
    "another content type": (b"a\n1\n", {"Content-Type": "image/png"}, 415, "scored"),
    "half a Parquet file": (_parquet(3)[:-10], {}, 422, "damaged"),
    "a gzip bomb": (gzip.compress(b"a" * (UNPACKED + 1)), {}, 422, "unpacked"),
    "a gzip bomb that lies": (_short_trailer(b"a" * (9 * UNPACKED)), {}, 422, "unpacked"),
    "a zip bomb": (_zipped(b"a" * (UNPACKED + 1)), {}, 422, "unpacked"),
    "half a gzip file": (gzip.compress(b"a,b\n1,2\n" * 99)[:-9], {}, 422, "cut off"),
    "too many lines": (b"a\n" * (MAX_ROWS + 2), {}, 422, "rows"),
    "too many rows": (_parquet(MAX_ROWS + 1), {}, 422, "rows"),
    "packed Parquet": (gzip.compress(_parquet(3)), {}, 422, "packed"),
}


@pytest.mark.parametrize("lie", LIES)
def test_files_that_lie(served: Served, lie: str) -> None:
    """They are refused at once, by name, and nothing is left of them."""
    body, headers, status, word = LIES[lie]
    token = served.token()
    answer = post(served, token, body, **headers)
    assert answer.status_code == status, answer.text
    assert word in json.dumps(answer.json()["error"])
    assert str(served.folder) not in answer.text
    assert Client(served.url, token).executions() == []
    assert not list((served.store.folder / ".incoming").iterdir())


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("name=../../rows.csv", "slash"),
        ("name=rows.parquet", "CSV"),
        ("level=12", "level"),
        ("level=high", "number"),
        ("explain=perhaps", "explain"),
        ("moment=never", "oment"),
        ("folder=/tmp", "folder"),
    ],
)
def test_options(served: Served, query: str, word: str) -> None:
    """Each is checked before the file is kept."""
    answer = requests.post(
        f"{served.url}/batches?{query}",
        data=b"a,b\n1,2\n",
        headers={"Authorization": f"Bearer {served.token()}"},
        timeout=60,
    )
    assert answer.status_code == 422, answer.text
    assert word in answer.json()["error"]["given"] + answer.json()["error"]["rule"]


def test_files_that_are_named(served: Served, client: Client, tmp_path: Path) -> None:
    """Below the folders that are open to requests, and nowhere else, however they are written."""
    shown = served.folder / "open" / "asked.csv"
    served.asked.to_csv(shown, index=False)
    execution = client.predict_file(f"file://{shown}")
    assert execution.wait(120).predicted == ROWS
    assert len(pd.read_csv(execution.download(tmp_path / "result.csv"))) == ROWS
    assert [*shown.parent.iterdir()] == [shown]
    (shown.parent / "link.csv").symlink_to(served.folder / "asked.csv")
    try:
        for address in (
            f"file://{served.folder}/asked.csv",
            f"file://{served.folder}/open/../asked.csv",
            f"file://{served.folder}/open/link.csv",
            "file:///etc/passwd",
            "s3://bucket/rows.csv",
        ):
            with pytest.raises(RefusedInputError, match="outside"):
                client.predict_file(address)
    finally:
        (shown.parent / "link.csv").unlink()


def test_rows_that_no_version_takes(served: Served, client: Client) -> None:
    """The batch fails with the reason that scoring gives, and without a path of the server."""
    (served.folder / "strange.csv").write_text("colour,size\nred,3\n")
    execution = client.predict_file(served.folder / "strange.csv")
    with pytest.raises(BatchFailedError) as failed:
        execution.wait(120)
    assert "hr" in failed.value.rule
    assert str(served.folder) not in str(failed.value)
    with pytest.raises(NothingThereError):
        execution.download(served.folder / "none.csv")


def test_bounds_of_a_token(served: Served, client: Client) -> None:
    """A further file is refused until one of the others is removed."""
    path = served.folder / "asked.csv"
    sent = [client.predict_file(path) for _ in range(PER_TOKEN)]
    answer = post(served, served.token(), path.read_bytes())
    assert answer.status_code == 202
    with pytest.raises(ThrottledRequestError, match="may have 6"):
        client.predict_file(path)
    sent[0].remove()
    client.predict_file(path)
    with pytest.raises(NothingThereError):
        sent[0].status()


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Look again and again, until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _scoring(served: Served) -> list[int]:
    """Ids of the processes that score the batches of a server."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"batches.worker" in command and os.fsencode(served.store.folder) in command:
                found.append(int(entry.name))
    return found


def test_a_killed_process_repeats_no_finished_chunk(served: Served, client: Client) -> None:
    """The next one goes on where it was, and every row is there once."""
    execution = client.predict_file(served.large(MAX_ROWS - 10))
    folder = served.store.folder

    def chunks() -> dict[Path, float]:
        pattern = f"*/{execution.id}/scoring/*/rows-*.json"
        return {one: one.stat().st_mtime for one in folder.glob(pattern)}

    wait_until(lambda: bool(chunks()))
    (process,) = _scoring(served)
    os.kill(process, signal.SIGSTOP)
    before = chunks()
    assert execution.status().state == "running"
    os.kill(process, signal.SIGKILL)
    again: dict[Path, float] = {}

    def has_gone_on() -> bool:
        again.update(chunks())
        return execution.status().state == "done"

    wait_until(has_gone_on, 120)
    assert {one: again[one] for one in before} == before
    status = execution.status()
    assert status.rows == status.read == status.predicted == MAX_ROWS - 10


def test_cancelling(served: Served, client: Client, tmp_path: Path) -> None:
    """It ends what runs, removes its file, and hands out nothing."""
    execution = client.predict_file(served.large(MAX_ROWS - 20))
    wait_until(lambda: execution.status().state == "running")
    assert execution.cancel().state == "cancelled"
    with pytest.raises(BatchFailedError, match="cancelled"):
        execution.wait(60)
    with pytest.raises(NothingThereError):
        execution.download(tmp_path / "result.csv")
    assert client.predict_file(served.folder / "asked.csv").wait(120).state == "done"
    (folder,) = served.store.folder.glob(f"*/{execution.id}")
    left = {one.name for one in folder.iterdir()}
    assert left == {"batch.json", "progress.json", "cancelled"}
    assert execution.cancel().state == "cancelled"
    done = client.predict_file(served.folder / "asked.csv")
    done.wait(120)
    with pytest.raises(ConflictingRequestError, match="done already"):
        done.cancel()


def test_waiting_has_an_end(served: Served, client: Client) -> None:
    """And the batch goes on."""
    execution = client.predict_file(served.large(MAX_ROWS - 30))
    with pytest.raises(ClientTimeoutError):
        execution.wait(0)
    assert execution.wait(120).state == "done"


def test_callers_take_turns(tmp_path: Path) -> None:
    """Many files of one hold up no other; those of each are scored in their order."""
    waiting = [
        AcceptedBatch(
            tmp_path,
            BatchRecord(f"{caller}{number}", caller, "bikes", "a.csv", "", "a.csv", 1, 0.0),
        )
        for caller, number in (("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("c", 1))
    ]
    turns, order = dict[str, int](), []
    while waiting:
        batch = next_batch(waiting, turns)
        waiting.remove(batch)
        order.append(batch.record.id)
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_disk_without_room_is_said(tmp_path: Path) -> None:
    """If the kernel cannot write an upload, the answer is to try again."""
    pieces = iter([True, True, False])

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": bytes(2**20), "more_body": next(pieces)}

    call: Any = SimpleNamespace(header=lambda _: b"", receive=receive)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(RequestRefusedError, match="has no room for the file") as refused:
            asyncio.run(_receive(call, tmp_path / "file", 2**30))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.status == 503


def test_a_killed_server_loses_no_accepted_file(tmp_path: Path, served: Served) -> None:
    """The next server scores accepted files, and no process is left behind."""
    token = served.token()
    other = Served.__new__(Served)
    other.__dict__ |= served.__dict__
    other.port = served.port + 1
    other.url = f"http://127.0.0.1:{other.port}"
    batches = tmp_path / "batches"
    other.store = BatchStore(batches)
    other.environment = {
        **served.environment,
        "MODEL_LOOP_SERVING_PORT": str(other.port),
        "MODEL_LOOP_BATCHES_FOLDER": str(batches),
    }
    process = other.start()
    client = Client(other.url, token)
    sent = [client.predict_file(other.large(MAX_ROWS - 40)) for _ in range(2)]
    process.kill()
    process.wait()
    wait_until(lambda: not _scoring(other))
    assert {one.record.id for one in other.store.pending()} == {one.id for one in sent}
    with other.serving():
        for one in sent:
            assert one.wait(120).predicted == MAX_ROWS - 40
    assert not _scoring(other)


def test_old_batches_go(served: Served, client: Client) -> None:
    """Finished ones, after their days; what is under way stays."""
    execution = client.predict_file(served.folder / "asked.csv")
    execution.wait(120)
    before = len(served.store.listed())
    assert served.store.remove_expired(7.0) == 0
    assert served.store.remove_expired(0.0) == before
    assert served.store.listed() == []


def test_the_notebook(served: Served, tmp_path: Path) -> None:
    """Its cells run as they stand, one after another."""
    cells = json.loads((ROOT / "docs" / "how-to" / "client.ipynb").read_text())["cells"]
    code = ["".join(one["source"]) for one in cells if one["cell_type"] == "code"]
    assert len(code) >= 8
    token = served.token()
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        cwd=tmp_path,
        env={"MODEL_LOOP_URL": served.url, "MODEL_LOOP_TOKEN": token, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "hum" in done.stdout
    assert f"{served.url}/bikes/predict" in done.stdout
    assert Client(served.url, token, "bikes").executions() == []


def test_the_description(client: Client) -> None:
    """It names the routes, with the status and the bodies of each."""
    paths = client.openapi()["paths"]
    assert {*paths["/batches"]} == {"post", "get"}
    assert {*paths["/bikes/batches/{batch_id}"]} == {"get", "delete"}
    sent = paths["/batches"]["post"]
    assert {"202", "409", "413", "429"} <= {*sent["responses"]}
    assert "200" not in sent["responses"]
    assert {"application/octet-stream", "application/json"} <= {*sent["requestBody"]["content"]}
    (identifier,) = paths["/batches/{batch_id}/result"]["get"]["parameters"]
    assert identifier["name"] == "batch_id"
