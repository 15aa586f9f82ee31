"""The local stack: its settings, its checks, and that it leaves nothing behind."""

from __future__ import annotations

import configparser
import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.servers import free_port

from model_loop.errors import InvalidInputError
from model_loop.local import preflight
from model_loop.local.demo import DemoRequest, results_table
from model_loop.local.env_example import env_example
from model_loop.local.preflight import LocalStackError
from model_loop.local.stack import MARKER, SCHEDULER, LocalStack
from model_loop.local.supervision import Supervision
from model_loop.settings import all_settings

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def stack(tmp_path: Path) -> LocalStack:
    """A stack on free ports, whose name needs care in configuration files."""
    settings = all_settings()(
        state=tmp_path / "state 100%",
        airflow_port=free_port(),
        execution_port=free_port(),
        mlflow_port=free_port(),
        mail_port=free_port(),
    )
    return LocalStack(PROJECT, settings)


class SleepingStack(LocalStack):
    """A stack of two programs that only wait, one of which starts a child."""

    def programs(self) -> dict[str, str]:
        """Programs that wait."""
        return {"one": "sleep 300", "two": "sh -c 'sleep 300 & sleep 300'"}


@pytest.fixture
def sleeping(stack: LocalStack) -> SleepingStack:
    """A stack that only waits."""
    return SleepingStack(stack.project, stack.settings)


def marked(stack: LocalStack) -> list[int]:
    """Ids of the stack's processes."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == str(stack.state):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def test_tasks_are_told_every_setting(stack: LocalStack) -> None:
    """Each setting reaches the processes, and the addresses are those of the stack."""
    environment = stack.environment()
    for name in all_settings().model_fields:
        assert f"MODEL_LOOP_{name.upper()}" in environment
    assert environment["MODEL_LOOP_TRACKING_URI"] == stack.mlflow_url
    assert environment["MODEL_LOOP_STORAGE_ROOT"].startswith("file://")
    assert environment["AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH"].endswith("/xcom")


def test_whose_machine_it_is_may_name_any_source(stack: LocalStack) -> None:
    """Unless the settings say less; `make demo SOURCE=/folder` needs no list."""
    assert stack.environment()["MODEL_LOOP_ALLOWED_SOURCES"] == "*"
    told = all_settings()(state=stack.state, allowed_sources="")
    assert not LocalStack(PROJECT, told).environment()["MODEL_LOOP_ALLOWED_SOURCES"]


def test_no_password_stands_in_a_log(stack: LocalStack) -> None:
    """Airflow prints those that it makes: it finds them made, also for a login that came later."""
    begin = (
        "from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import *;"
        "SimpleAuthManager().init()"
    )
    known = dict[str, str]()
    database = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{stack.state}/airflow.db"}
    for users in ("admin:admin", "admin:admin, viewer:viewer"):
        later = LocalStack(PROJECT, stack.settings.model_copy(update={"airflow_users": users}))
        done = subprocess.run(
            [sys.executable, "-c", begin],
            env={**later.environment(), **database},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        made = json.loads((stack.state / "passwords.json").read_text())
        assert {*made} == {one.partition(":")[0].strip() for one in users.split(",")}
        assert known.items() <= made.items()
        assert not [one for one in made.values() if one in done.stdout + done.stderr]
        known = made
    assert stat.S_IMODE((stack.state / "passwords.json").stat().st_mode) == 0o600
    assert stack.password == known["admin"]


def test_keys_are_secret_and_lasting(stack: LocalStack) -> None:
    """Keys are made once, differ between stacks, and only their owner reads them."""
    names = (
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__API_AUTH__JWT_SECRET",
    )
    first, second = stack.environment(), stack.environment()
    assert [first[name] for name in names] == [second[name] for name in names]
    assert stat.S_IMODE((stack.state / "keys.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(stack.state.stat().st_mode) == 0o700


def test_taken_port_is_named(stack: LocalStack) -> None:
    """A port that somebody uses is refused with its number and the setting that changes it."""
    preflight.check_machine(stack)
    with socket.socket() as other:
        other.bind(("127.0.0.1", stack.settings.mlflow_port))
        other.listen()
        with pytest.raises(
            LocalStackError,
            match=f"Port {stack.settings.mlflow_port} is in use.*MODEL_LOOP_MLFLOW_PORT",
        ):
            preflight.check_machine(stack)


def test_full_disk_is_refused(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little room is refused before anything is started."""
    monkeypatch.setattr(preflight, "NEEDED_DISK", 10**18)
    with pytest.raises(LocalStackError, match=r"GB free.*Make room"):
        preflight.check_machine(stack)


def test_env_example_is_not_stale() -> None:
    """.env.example lists every setting with its default; `make docs` writes it anew."""
    assert (PROJECT / ".env.example").read_text() == env_example()


def test_stops_everything(sleeping: SleepingStack) -> None:
    """Everything that was started runs, and nothing is left after stopping."""
    supervision = Supervision(sleeping)
    supervision.start()
    assert supervision.running
    _wait_for(lambda: {process.state for process in supervision.status()} == {"RUNNING"})
    assert len(marked(sleeping)) >= 4
    supervision.stop()
    assert marked(sleeping) == []
    assert supervision.status() == []


def test_tasks_end_while_the_servers_answer(stack: LocalStack) -> None:
    """The scheduler, whose tasks say how they end, has ended before anything else is stopped."""
    ending = "sleep 1; kill -0 $(cat server.pid) && touch server-was-there; exit 0"
    programs = {
        SCHEDULER: f"trap {shlex.quote(ending)} TERM; while :; do sleep 0.1; done",
        "airflow-api-server": "echo $$ > server.pid; exec sleep 600",
    }

    class Stack(LocalStack):
        def programs(self) -> dict[str, str]:
            return {name: shlex.join(("sh", "-c", script)) for name, script in programs.items()}

    supervision = Supervision(Stack(stack.project, stack.settings))
    supervision.start()
    _wait_for(lambda: {process.state for process in supervision.status()} == {"RUNNING"})
    supervision.stop()
    assert (stack.state / "server-was-there").exists()
    assert marked(stack) == []


def test_stops_everything_after_a_crash(sleeping: SleepingStack) -> None:
    """When supervisord was killed, what it left behind is found and stopped, and nothing else."""
    supervision, other = Supervision(sleeping), _other_stack(sleeping)
    supervision.start()
    Supervision(other).start()
    try:
        _wait_for(lambda: len(marked(sleeping)) >= 4)
        os.kill(int((sleeping.state / "supervisord.pid").read_text()), signal.SIGKILL)
        _wait_for(lambda: not supervision.running)
        assert supervision.stop()
        assert marked(sleeping) == []
        assert marked(other)
    finally:
        Supervision(other).stop()
    assert marked(other) == []


def _other_stack(stack: SleepingStack) -> SleepingStack:
    settings = stack.settings.model_copy(update={"state": stack.state.parent / "other"})
    return SleepingStack(stack.project, settings)


def _wait_for(happened: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():  # type: ignore[operator]  # a function
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def test_stopping_nothing_is_harmless(stack: LocalStack) -> None:
    """Stopping what does not run stops nothing."""
    assert Supervision(stack).stop() == []


def test_configuration_survives_odd_names(sleeping: SleepingStack) -> None:
    """A folder with a space and a per cent sign in its name is configured rightly."""
    supervision = Supervision(sleeping)
    supervision.start()
    supervision.stop()
    config = configparser.RawConfigParser()
    config.read(sleeping.state / "supervisord.conf")
    assert "100%%" in config["supervisord"]["logfile"]
    assert (sleeping.logs / "supervisord.log").exists()


def test_long_paths_are_taken(sleeping: SleepingStack) -> None:
    """A state folder whose path is longer than a socket's may be is started and stopped."""
    deep = sleeping.state.joinpath(*["a-rather-long-folder-name"] * 5)
    stack = SleepingStack(sleeping.project, sleeping.settings.model_copy(update={"state": deep}))
    supervision = Supervision(stack)
    supervision.start()
    assert supervision.running
    supervision.stop()
    assert marked(stack) == []


def test_demo_sends_each_form_its_own_fields() -> None:
    """Only what was asked for is sent, and each DAG gets the fields of its form."""
    request = DemoRequest(source="tlc", train_months=["2024-01"], models=["svm.LinearSVR"])
    data = {"source": "tlc", "train_months": ["2024-01"]}
    assert request.conf("data_preparation") == data
    assert request.conf("xgboost_training") == {**data, "max_evaluations": 3}
    assert request.conf("sklearn_training") == {
        **data,
        "max_evaluations": 3,
        "models": ["svm.LinearSVR"],
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_evaluations": 0}, "EVALUATIONS = 0 is out of bounds"),
        ({"models": ["linear_model.Ridge"]}, r"'linear_model\.Ridge' is unknown"),
    ],
)
def test_demo_refuses_at_once(changes: dict[str, Any], message: str) -> None:
    """What the training forms would refuse is refused before anything is started or prepared."""
    with pytest.raises(InvalidInputError, match=message):
        DemoRequest(**changes)


def test_table_says_that_data_are_made_up() -> None:
    """The table of results says so when the months are sample months."""
    result = {
        "data_source": "sample",
        "service": "green",
        "recipe": "rich",
        "encoding": "native",
        "rows": {"train": 1, "validation": 1, "test": 1},
        "families": [
            {
                "family": "xgboost",
                "validation_rmse": 4.0,
                "test_rmse": None,
                "evaluations": 1,
                "seconds": 1.0,
                "model_uri": "models:/trip_duration_green/1",
            }
        ],
    }
    assert "SAMPLE" in str(results_table([result]).title)
    assert "SAMPLE" not in str(results_table([{**result, "data_source": "tlc"}]).title)
