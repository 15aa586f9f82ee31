"""Old logs of tasks, which maintenance removes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from model_loop.orchestration.steps import maintenance

OLD = {
    "dag_id=a/run_id=old/task_id=b/attempt=1.log",
    "dag_id=a/run_id=old/task_id=b/attempt=1.log.trigger.7.log",
    "dag_id=a/run_id=new/task_id=b/attempt=1.log",
    "dag_processor/2026-01-01/dags-folder/a.py.log",
}
NEW = {"dag_id=a/run_id=new/task_id=b/attempt=2.log", "dag_id=c/run_id=new/task_id=d/attempt=1.log"}


@pytest.fixture(name="logs")
def folder_of_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Old and new logs, an old file that is none, and links to what lies elsewhere."""
    logs, elsewhere = tmp_path / "logs", tmp_path / "elsewhere"
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(logs))
    for name in (*OLD, *NEW, "notes.txt", "../elsewhere/theirs.log"):
        (logs / name).parent.mkdir(parents=True, exist_ok=True)
        (logs / name).write_text("a line")
    (logs / "latest").symlink_to(elsewhere)
    (logs / "link.log").symlink_to(elsewhere / "theirs.log")
    long_ago = time.time() - 40 * 86_400
    for name in (*OLD, "notes.txt", "../elsewhere/theirs.log"):
        os.utime(logs / name, (long_ago, long_ago))
    return logs


def there(logs: Path) -> set[str]:
    """The logs that there are."""
    found = (log for log in logs.rglob("*.log") if log.is_file() and not log.is_symlink())
    return {str(log.relative_to(logs)) for log in found}


def test_looking_removes_nothing(logs: Path) -> None:
    """What would be removed is counted."""
    looked = maintenance.remove_old_logs({"log_days": 30, "only_look": True})
    assert looked == {"logs": len(OLD), "bytes": 6 * len(OLD), "removed": False}
    assert there(logs) == OLD | NEW


def test_old_logs_are_removed(logs: Path) -> None:
    """With the folders that they leave empty; new logs and what is no log or elsewhere stay."""
    assert maintenance.remove_old_logs({"log_days": 50, "only_look": False})["logs"] == 0
    done = maintenance.remove_old_logs({"log_days": 30, "only_look": False})
    assert (done["logs"], done["removed"]) == (len(OLD), True)
    assert there(logs) == NEW
    assert sorted(it.name for it in logs.iterdir()) == [
        "dag_id=a",
        "dag_id=c",
        "latest",
        "link.log",
        "notes.txt",
    ]
    assert not (logs / "dag_id=a" / "run_id=old").exists()
    assert (logs.parent / "elsewhere" / "theirs.log").exists()
    assert maintenance.remove_old_logs({"log_days": 30, "only_look": False})["logs"] == 0


def test_without_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where logs are kept elsewhere, there is nothing to remove."""
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path / "nowhere"))
    assert maintenance.remove_old_logs({"log_days": 30, "only_look": False})["logs"] == 0
