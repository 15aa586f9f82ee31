"""The command: rows of one identity go from everywhere, and from nowhere else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import func, select
from tests.bikes import Bikes
from tests.commands import run_command
from tests.servers import tracking_database

from model_loop.client import Client
from model_loop.datasets.registry import get_dataset
from model_loop.erasure.erase import Erasure
from model_loop.erasure.identity import read_identity
from model_loop.erasure.log import LoggedRows
from model_loop.erasure.stored import StoredRows
from model_loop.serving.batches.store import BatchStore
from model_loop.serving.request_log.tables import feedback, open_log, predictions
from model_loop.settings import Settings, all_settings

#: The identity of these tests, and one beside it that has to stay.
DAY, HOUR, OTHER = "2012-06-30", 22, 21
KEYS = ("--key", f"dteday={DAY}", f"hr={HOUR}")


class Used(Bikes):
    """A folder in which rows of an identity lie about."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.exports = folder / "exports"
        self.batches = BatchStore(folder / "state" / "serving" / "batches")
        records: list[dict[str, Any]] = json.loads(self.asked.to_json(orient="records"))
        rows = {row["hr"]: row for row in records if row["dteday"] == DAY}
        self.row, self.other = rows[HOUR], rows[OTHER]

    def erase(self, *options: str, code: int = 0) -> Any:
        """Run the command."""
        return self.read(
            "erase", "--dataset", "bikes", *KEYS, "--folder", str(self.exports), *options, code=code
        )

    def rows(self, answer: Any) -> dict[str, int]:
        """Return the number of rows by the kind of their place."""
        found: dict[str, int] = {}
        for one in answer["traces"]:
            found[one["store"]] = found.get(one["store"], 0) + one["rows"]
        return found

    def logged(self) -> tuple[int, int]:
        """Return the number of predictions and of true values in the log."""
        engine = open_log("", self.folder / "state" / "serving")
        with engine.connect() as connection:
            tables = (predictions, feedback)
            made = [connection.scalar(select(func.count()).select_from(one)) for one in tables]
        return made[0] or 0, made[1] or 0


def settings_in(folder: Path) -> Settings:
    """Settings of a folder of its own."""
    return all_settings()(
        state=folder,
        serving_folder=folder / "serving",
        storage_root=f"file://{folder}/storage",
        batches_folder=folder / "batches",
        tracking_uri=tracking_database(folder / "mlflow.db"),
    )


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Used:
    """Rows were predicted one by one and as a file, and exported; a version has learned of them."""
    made = Used(tmp_path_factory.mktemp("erased"))
    made.run("run", "bikes", "--models", "xgboost", "--evaluations", "1")
    made.run("prepare", "--keep")
    token = made.run("tokens", "add", "tests").strip()
    with made.serving(), Client(made.url, token) as client:
        answers = client.predict([made.row, made.other, made.row])
        client.feedback({one.prediction_id: 10.0 for one in answers})
        client.predict_file(made.folder / "asked.csv").wait(120)
    made.run("export-requests", str(made.exports))
    return made


def test_looking_changes_nothing(used: Used) -> None:
    """Every place is named with its rows, and what cannot be changed with its reason."""
    before = used.logged()
    answer = used.erase()
    rows = used.rows(answer)
    assert rows["request log"] == 2
    assert rows["file"] == 2
    # The file that was sent, and its result.
    assert rows["batch"] == 2
    assert rows["checked table"] >= 1
    assert rows["training set"] >= 1
    left = {one["store"] for one in answer["traces"] if one["outcome"] == "not changed"}
    assert {"source", "model", "MLflow", "backups"} <= left
    assert not [one for one in answer["traces"] if "cannot be read" in one["note"]]
    assert used.logged() == before == (3, 3)
    assert used.erase("--dry-run")["traces"] == answer["traces"]
    shown = used.run("erase", "--dataset", "bikes", *KEYS)
    assert "would be removed" in shown
    assert "--yes" in shown


def test_erasing(used: Used) -> None:
    """The rows go and no others; again, there is nothing; nothing says that it is reproduced."""
    (export,) = used.exports.rglob("*.parquet")
    digests = {one["digest"] for one in used.read("products", "list")["products"]}
    looked, answer = used.erase(), used.erase("--yes")
    assert used.rows(answer) == used.rows(looked)
    assert answer["erased"]
    assert used.logged() == (1, 1)
    assert pd.read_parquet(export)["hr"].tolist() == [OTHER]
    (batch,) = used.batches.listed()
    result = pd.read_csv(batch.folder / batch.progress().result)
    assert len(result) == len(used.asked) - 1
    assert not ((result["dteday"] == DAY) & (result["hr"] == HOUR)).any()
    assert not (batch.folder / batch.record.source).exists()
    assert used.read("products", "list")["products"] == []
    # Neither the rows of a table, nor a sample of them.
    assert list((used.folder / ".state" / "storage").glob("products/tables/bikes/*/*.zip")) == []
    marks = (used.folder / ".state" / "storage").glob("products/training_set/erased/*.json")
    assert {one.stem for one in marks} == digests
    done = run_command("reproduce", "1", folder=used.folder, environment=used.environment)
    assert done.returncode == 2
    assert "were erased on" in " ".join(done.stderr.split())
    again = used.erase("--yes")
    changed = [one for one in again["traces"] if one["outcome"] != "not changed"]
    assert changed == []
    assert len(again["before"]) == 1


def test_the_history_holds_no_values(used: Used) -> None:
    """A keyed hash, and counts."""
    entries = sorted((used.folder / ".state" / "storage" / "erasures").glob("*.json"))
    assert len(entries) == 2
    for entry in entries:
        text = entry.read_text()
        assert DAY not in text
        assert '"hr"' not in text
        assert json.loads(text)["done"]
    assert not list(entries[0].parent.glob("begun-*"))


def test_contradictions(used: Used) -> None:
    """Refused, with nothing changed."""
    used.run("erase", "--dataset", "bikes", *KEYS, "--dry-run", "--yes", code=2)
    used.run("erase", "--dataset", "bikes", *KEYS, "--folder", "nowhere", code=2)
    used.run("erase", "--dataset", "bikes", code=2)
    used.run("erase", "--dataset", "nothing", *KEYS, code=2)


def test_a_sample_goes_with_its_table(tmp_path: Path) -> None:
    """One whose rows are not here is named, since it cannot be searched; others stay."""
    folder = tmp_path / "storage" / "products" / "tables" / "bikes" / "2011-01"
    folder.mkdir(parents=True)
    for key, hours in {"a": [8, 9], "b": [9], "c": []}.items():
        (folder / f"{key}-sketch-0.zip").write_bytes(b"packed")
        if hours:
            pd.DataFrame({"hr": hours}).to_parquet(folder / f"{key}-rows-0.parquet")
    (folder / "d-sketch-0.zip").write_bytes(b"packed")
    pd.DataFrame({"hr": [9]}).to_parquet(folder / "d-quarantine-0.parquet")
    stored = StoredRows(settings_in(tmp_path))
    identity = read_identity(get_dataset("bikes"), ["hr=8"], [])
    steps = stored.find(identity)
    found = {Path(one.trace.address).name: one.trace.outcome for one in steps}
    assert found == {
        "a-rows-0.parquet": "made again",
        "a-sketch-0.zip": "made again",
        "c-sketch-0.zip": "not changed",
        "d-sketch-0.zip": "not changed",
    }
    for step in steps:
        if step.make is not None:
            assert step.make() == step.trace.rows
    left = sorted(path.name for path in folder.iterdir())
    assert left == [
        *("b-rows-0.parquet", "b-sketch-0.zip", "c-sketch-0.zip"),
        *("d-quarantine-0.parquet", "d-sketch-0.zip"),
    ]


def test_an_interrupted_erasure_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that hold ids alone are found by what the log has given before it ended."""
    settings = settings_in(tmp_path)
    identity = read_identity(get_dataset("bikes"), ["hr=8"], [])
    engine = open_log("", tmp_path / "serving")
    with engine.begin() as connection:
        for number, hour in enumerate((8, 9)):
            values: dict[str, Any] = {
                "prediction_id": f"id-{number}",
                "at": 1.0,
                "service": "bikes",
                "version": 1,
                "part": "champion",
                "caller": "a",
                "minutes": 1.0,
                "latency_ms": 1.0,
                "inputs": json.dumps({"hr": hour}),
                "key": "customer",
            }
            connection.execute(predictions.insert().values(values))
    scored = tmp_path / "scored.csv"
    scored.write_text("prediction_id,prediction\nid-0,1\nid-1,2\n")
    scored.chmod(0o444)
    first = Erasure(settings, [scored])
    # It ends where a kill would.
    monkeypatch.setattr(LoggedRows, "erase", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        first.erase(identity)
    monkeypatch.undo()
    # The files are done, and the log is lost behind its back.
    scored.write_text("prediction_id,prediction\nid-0,1\nid-1,2\n")
    LoggedRows(engine, settings, mask=False).erase(["id-0"])
    report = Erasure(settings, [scored]).erase(identity)
    assert scored.read_text() == "prediction_id,prediction\nid-1,2\n"
    assert {one.store: one.rows for one in report.traces if not one.is_left} == {"file": 1}


def _interrupt(_log: LoggedRows, _ids: list[str]) -> int:
    raise KeyboardInterrupt


def test_masking(tmp_path: Path) -> None:
    """Predictions stay, without what was asked; again, nothing is found."""
    settings = settings_in(tmp_path)
    engine = open_log("", tmp_path / "serving")
    row: dict[str, Any] = {
        "prediction_id": "id-0",
        "at": 1.0,
        "service": "bikes",
        "version": 1,
        "part": "champion",
        "caller": "a",
        "minutes": 1.0,
        "latency_ms": 1.0,
        "inputs": '{"hr": 8}',
        "key": "customer",
    }
    with engine.begin() as connection:
        connection.execute(predictions.insert().values(row))
    identity = read_identity(get_dataset("bikes"), ["hr=8"], [])
    report = Erasure(settings, mask=True).erase(identity)
    assert [(one.store, one.rows, one.outcome) for one in report.traces if not one.is_left] == [
        ("request log", 1, "masked")
    ]
    with engine.connect() as connection:
        (left,) = connection.execute(select(predictions)).mappings()
    assert (left["inputs"], left["key"], left["minutes"]) == (None, None, 1.0)
    again = Erasure(settings, mask=True).erase(identity)
    assert all(one.is_left for one in again.traces)


def test_what_a_killed_server_has_left_goes(tmp_path: Path) -> None:
    """It is found where it waits, written into the log, and erased there; the rest stays."""
    settings = settings_in(tmp_path)
    dataset = get_dataset("bikes")
    place = dataset.columns.fields.index("hr")
    script = f"""
import os
from pathlib import Path
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.spool import Spool
spool = Spool(Path({str(tmp_path / "serving" / "spool")!r}), Entry, 100_000)
for number, hour in enumerate((8.0, 9.0)):
    row = [float("nan")] * {len(dataset.columns)}
    row[{place}] = hour
    spool.keep(Entry(f"id-{{number}}", 1.0, "bikes", 1, "champion", "a", None, 1.0, 1.0, row))
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    identity = read_identity(dataset, ["hr=8"], [])
    looked = Erasure(settings).look(identity)
    assert sum(one.rows for one in looked.traces if one.store == "waiting for the request log") == 1
    report = Erasure(settings).erase(identity)
    assert [(one.store, one.rows) for one in report.traces if one.rows] == [("request log", 1)]
    with open_log("", tmp_path / "serving").connect() as connection:
        assert connection.scalars(select(predictions.c.prediction_id)).all() == ["id-1"]
    assert not list((tmp_path / "serving" / "spool").iterdir())
