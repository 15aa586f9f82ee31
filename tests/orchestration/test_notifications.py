"""What Airflow's callbacks tell, through its own connections to a real mail server."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from airflow.sdk.log import mask_secret
from tests.servers import free_port

from model_loop.alerts.types import Alert
from model_loop.datasets.registry import get_dataset
from model_loop.errors import DeliveryError, InvalidInputError
from model_loop.findings import Finding
from model_loop.models.gate import Check, GateVerdict
from model_loop.orchestration.alerts import announcements, failed_tasks, notifications
from model_loop.orchestration.alerts.notifications import RunEnded, TaskFailed
from model_loop.orchestration.steps.alerts import deliver_waiting
from model_loop.settings import get_settings
from model_loop.tracking.deployments import Deployment, HistoryEntry
from trip_duration.dataset import TRIPS

SECRET = "correct-horse-battery"  # noqa: S105 - no real one


class Sink:
    """Keeps the mails that come."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a mail."""
        found = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(found, EmailMessage)
        self.mails.append(found)
        return "250 OK"


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage root of its own, no pauses, and a tracking server that does not answer."""
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", f"file://{tmp_path / 'storage'}")
    monkeypatch.setenv("MODEL_LOOP_ALERT_WINDOW_SECONDS", "0")
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path / "logs"))


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Where the mail server is to be."""
    port = free_port()
    extra = {"disable_ssl": True, "disable_tls": True}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    return port


def serve(sink: Sink, port: int) -> Controller:
    """Start a mail server."""
    server = Controller(sink, hostname="127.0.0.1", port=port)
    server.start()
    return server


@pytest.fixture
def sink(port: int) -> Iterator[Sink]:
    """A mail server that is up."""
    found = Sink()
    server = serve(found, port)
    yield found
    server.stop()


def context(error: BaseException | None = None, **values: Any) -> dict[str, Any]:
    """What Airflow hands a callback of a task."""
    now = dt.datetime.now(tz=dt.UTC)
    ti = SimpleNamespace(
        dag_id="sklearn_training",
        run_id="manual__1",
        task_id="model.tune",
        map_index=1,
        rendered_map_index="linear_model.Lasso",
        try_number=3,
        max_tries=2,
        start_date=now - dt.timedelta(seconds=90),
        end_date=now,
    )
    run = SimpleNamespace(
        run_type=SimpleNamespace(value="manual"),
        triggering_user_name="ann",
        conf={"models": ["linear_model.Lasso"], "password": SECRET},
        start_date=now - dt.timedelta(minutes=5),
    )
    given = {"ti": ti, "dag_run": run, "run_id": ti.run_id, "exception": error}
    return {**given, **values}


def plain(message: EmailMessage) -> str:
    """The plain text of a mail."""
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def test_a_failure_is_a_mail(sink: Sink) -> None:
    """What failed, which family, when, which try, the error, who started it, and what to try."""
    TaskFailed()(context(InvalidInputError("Month 2024-13", "is none", "Give another.")))
    (message,) = sink.mails
    assert message["subject"] == (
        "[model loop] sklearn_training failed in model.tune (linear_model.Lasso)"
    )
    assert message["to"] == get_settings().mail_to
    text = plain(message)
    for said in ("Month 2024-13 is none.", "1. Give another.", "Try: 3 of 3", "1 min 30 s", "ann"):
        assert said in text
    assert "/dags/sklearn_training/runs/manual__1/tasks/model.tune/mapped/1?try_number=3" in text
    assert "There is no link to MLflow" in text
    assert "The log is not on the machine" in text


def test_the_end_of_the_log_is_told(sink: Sink, tmp_path: Path) -> None:
    """Where the log is at hand its last lines are in the mail; a kill is told from it."""
    folder = tmp_path / "logs/dag_id=sklearn_training/run_id=manual__1/task_id=model.tune"
    log = folder / "map_index=1/attempt=3.log"
    log.parent.mkdir(parents=True)
    lines = [
        {"level": "info", "event": "trial 4 of 5"},
        {"level": "critical", "event": "Process terminated by signal", "signal_name": "SIGKILL"},
    ]
    log.write_text("\n".join(map(json.dumps, lines)))
    TaskFailed()(context())
    text = plain(sink.mails[0])
    assert "trial 4 of 5" in text
    assert "Process terminated by signal (signal SIGKILL)" in text
    assert "no memory left" in text


def test_secrets_are_masked(sink: Sink) -> None:
    """What Airflow knows as a secret, and the value of a field that is called so, is not mailed."""
    mask_secret(SECRET)
    TaskFailed()(context(RuntimeError(f"login with {SECRET} at postgresql://a:b@db failed")))
    assert SECRET not in bytes(sink.mails[0]).decode()
    assert "password = ***" in plain(sink.mails[0])
    assert "postgresql://***@db" in plain(sink.mails[0])


def test_causes_are_told(sink: Sink) -> None:
    """An error that was caused by another one brings it along."""
    error = RuntimeError("no model")
    error.__cause__ = ConnectionRefusedError("connection refused by 10.0.0.1")
    TaskFailed()(context(error))
    text = plain(sink.mails[0])
    assert "RuntimeError: no model\nbecause of ConnectionRefusedError" in text
    assert "A server did not answer" in text


def test_a_mail_server_that_is_down_loses_nothing(port: int) -> None:
    """What fails while the server is down comes when it is up, in one mail that says why."""
    for task in ("one", "two"):
        failed = context(RuntimeError(task))
        failed["ti"].task_id = task
        TaskFailed()(failed)
    run: Any = SimpleNamespace(run_id="scheduled__1")
    with pytest.raises(DeliveryError, match=r"\(2 of them\): The mail server 127.0.0.1.*refused"):
        deliver_waiting({"test": False}, run)
    found = Sink()
    server = serve(found, port)
    try:
        done = deliver_waiting({"test": False}, run)
        assert done == {"sent": 2, "waiting": 0}
        assert deliver_waiting({"test": False}, run) == {"sent": 0, "waiting": 0}
    finally:
        server.stop()
    (message,) = found.mails
    assert message["subject"] == "[model loop] 2 failures: sklearn_training (2)"
    assert "This mail comes late" in plain(message)
    assert "RuntimeError: one" in plain(message)


def test_storage_that_is_down_is_told_too(
    sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be kept the mail goes out all the same."""
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", f"file://{tmp_path / 'file'}")
    TaskFailed()(context(RuntimeError("disk")))
    assert "RuntimeError: disk" in plain(sink.mails[0])


def test_each_kind_can_be_switched_off(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the settings do not ask for is not mailed."""
    monkeypatch.setenv("MODEL_LOOP_ALERT_FAILURE", "false")
    TaskFailed()(context(RuntimeError("x")))
    assert sink.mails == []


def test_the_delivery_does_not_tell_of_itself(sink: Sink) -> None:
    """That nothing can be delivered is not a further alert, which could not be delivered either."""
    TaskFailed()(context(DeliveryError("The mail server", "is down", "Start it.")))
    assert sink.mails == []
    assert notifications.dispatcher().outbox.waiting() == []


class States:
    """What Airflow says of the tasks of a run."""

    def __init__(self, **states: str) -> None:
        self.states = states

    def get_task_states(self, *, dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str]]:
        """States by run and task."""
        del dag_id
        return dict.fromkeys(run_ids, self.states)


@pytest.mark.parametrize(
    ("failed", "families", "words"),
    [
        ({"model.tune_1": "failed"}, ["a.A", "b.B"], "model.tune (b.B)"),
        ({"model.tune_1": "failed"}, [["a.A"], ["b.B", "c.C", "d.D"]], "model.tune (b.B … d.D)"),
        ({}, ["a.A", "b.B"], "timed_out"),
    ],
)
def test_a_run_tells_what_its_tasks_could_not(
    sink: Sink,
    monkeypatch: pytest.MonkeyPatch,
    failed: dict[str, str],
    families: list[Any],
    words: str,
) -> None:
    """A killed task is told when its run ends; so is a run that failed without a failed task."""
    monkeypatch.setattr(
        "model_loop.orchestration.alerts.failed_tasks.RuntimeTaskInstance", States(**failed)
    )
    task = SimpleNamespace(
        retries=2,
        get_closest_mapped_task_group=lambda: SimpleNamespace(
            _expand_input=SimpleNamespace(value={"family": families})
        ),
    )
    dag = SimpleNamespace(
        dag_id="sklearn_training", task_dict={"model.tune": task}, get_task=lambda _: task
    )
    for _ in range(2):
        RunEnded(failed=True).notify(context(dag=dag, reason="timed_out"))  # type: ignore[arg-type]
    assert len(sink.mails) == 1
    assert words in plain(sink.mails[0])


def test_a_run_does_not_repeat_its_tasks(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a task has told itself is not told again at the end of its run."""
    monkeypatch.setattr(
        "model_loop.orchestration.alerts.failed_tasks.RuntimeTaskInstance",
        States(**{"model.tune_1": "failed"}),
    )
    TaskFailed()(context(RuntimeError("x")))
    dag = SimpleNamespace(dag_id="sklearn_training", task_dict={"model.tune": None})
    RunEnded(failed=True).notify(context(dag=dag))  # type: ignore[arg-type]
    assert len(sink.mails) == 1


VERDICT = GateVerdict(
    4,
    3,
    (
        Check("RMSE against version 3", passed=False, found="5.1 against 5.0", wanted="better"),
        Check("latency", passed=True, found="2 ms", wanted="at most 100 ms"),
    ),
)


def entry(kind: str) -> HistoryEntry:
    """A move from version 3 to version 4."""
    before, after = Deployment(champion=3), Deployment(champion=4, shadow=2)
    return HistoryEntry(kind, 4, "ann", "fewer complaints", before, after, 1.7e9, "abc")


RESULTS = {
    "families": [
        {
            "family": "xgboost",
            "validation_rmse": 4.5,
            "test_rmse": None,
            "evaluations": 3,
            "seconds": 12.3,
        }
    ],
    "service": "green",
    "data_source": "sample",
    "recipe": "booking",
    "encoding": "native",
    "training_set": "d16e57",
    "run_id": "abc",
    "run_url": "http://mlflow/#/experiments/1/runs/abc",
}

RESULTS_OF_TABLE = {
    **RESULTS,
    "families": [{**RESULTS["families"][0], "validation_rmse": 79.8}],  # type: ignore[dict-item]  # a list
    "service": "bikes",
    "data_source": "table",
    "recipe": "request",
}
FINDING = Finding("rows", None, "2012-01", "warning", "fewer rows than usual", "Ask the operator.")

ANNOUNCEMENTS: dict[str, tuple[Callable[[], Alert], tuple[str, ...]]] = {
    "gate": (
        lambda: announcements.gate_refused(VERDICT, "green", "promotion", "r"),
        ("version 4 of green did not pass", "5.1 against 5.0", "NOT PASSED", "version 3"),
    ),
    "promotion": (
        lambda: announcements.moved(entry("promote"), "green", "promotion", "r", VERDICT),
        ("now version 4", "From: champion version 3", "ann", "fewer complaints", "rollback"),
    ),
    "rollback": (
        lambda: announcements.moved(entry("rollback"), "green", "promotion", "r", None),
        ("went back to version 4", "shadow version 2"),
    ),
    "success": (
        lambda: announcements.success("xgboost_training", "r", RESULTS),
        (
            "RMSE 4.500 min (SAMPLE data)",
            "recipe booking, asked when a ride is booked",
            "/#/experiments/1/runs/abc",
        ),
    ),
    "deadline": (
        lambda: announcements.deadline_missed("xgboost_training", "r", "2026-01-01", 12),
        ("xgboost_training is late", "within 12 hours"),
    ),
    "drift": (
        lambda: announcements.drifted(
            "trip_distance since 2024-05",
            [("PSI", "0.31", "0.2")],
            TRIPS,
            "monitoring",
            "r",
            "http://x",
        ),
        ("trip_distance since 2024-05", "0.31", "http://x", "The trips of NYC taxi trips have"),
    ),
    "gate of a table": (
        lambda: announcements.gate_refused(VERDICT, "bikes", "bikes__promotion", "r"),
        ("version 4 of bikes did not pass", "Dataset: Bike rentals by the hour"),
    ),
    "promotion of a table": (
        lambda: announcements.moved(entry("promote"), "bikes", "bikes__promotion", "r", VERDICT),
        (
            "the champion of bikes is now version 4",
            "trigger bikes__promotion with action rollback.",
        ),
    ),
    "approval of a table": (
        lambda: announcements.approval_waits(VERDICT, "bikes", 24, None, "bikes__promotion", "r"),
        ("Shall version 4 become champion of bikes?", "Dataset: Bike rentals by the hour"),
    ),
    "success of a table": (
        lambda: announcements.success("bikes__xgboost_training", "r", RESULTS_OF_TABLE),
        (
            "RMSE 79.800 rentals\n",
            "on the validation rows is xgboost, with an RMSE of 79.800 rentals: real data (table)",
        ),
    ),
    "doubts about a table": (
        lambda: announcements.doubtful([FINDING], "bikes", "bikes__data_preparation", "r"),
        ("Compared with the months before, bikes 2012-01", "fewer rows", "Ask the operator"),
    ),
    "drift of a table": (
        lambda: announcements.drifted("hum", [], get_dataset("bikes"), "bikes__monitoring", "r"),
        ("The rows of Bike rentals by the hour have drifted", "trigger bikes__retraining."),
    ),
    "drift of a table that is not seen": (
        lambda: announcements.drift_not_known("bikes", 2, "no profile", "bikes__monitoring", "r"),
        ("`model-loop profile-version --variant bikes --version 2`",),
    ),
    "lost state": (
        lambda: announcements.state_lost("k", "aside"),
        ("partitions may be announced",),
    ),
}
#: Words that no mail about a declared table may hold.
OF_TRIPS = re.compile(r"\b(trips?|minutes?|green|service)\b", re.IGNORECASE)


@pytest.mark.parametrize("name", ANNOUNCEMENTS)
def test_announcements_say_what_matters(
    sink: Sink, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verdict, moves, results, deadlines and drift arrive with what one has to know."""
    monkeypatch.setenv("MODEL_LOOP_ALERT_SUCCESS", "true")
    make, said = ANNOUNCEMENTS[name]
    notifications.announce(make())
    assert sink.mails == []
    notifications.dispatcher().deliver()
    text = f"{sink.mails[0]['subject']}\n{plain(sink.mails[0])}"
    for words in said:
        assert words in text
    if name.endswith("of a table"):
        assert not OF_TRIPS.search(text)


def test_an_announcement_fails_no_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong with it, the task whose work is done goes on."""
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", f"file://{tmp_path / 'file'}")
    notifications.announce(announcements.trial("r"))


class Service(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted."""

    posted: list[dict[str, Any]] = []  # noqa: RUF012 - shared by all requests

    def do_POST(self) -> None:
        """Take a message."""
        size = int(self.headers["Content-Length"])
        self.posted.append(json.loads(self.rfile.read(size)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_chats_are_told_through_apprise(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a connection for Apprise its services are told too; one that is down gets it later."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    urls = [f"json://127.0.0.1:{server.server_port}", f"json://127.0.0.1:{free_port()}"]
    extra = {"config": [{"path": url, "tag": "alerts"} for url in urls]}
    monkeypatch.setenv(
        "AIRFLOW_CONN_APPRISE_DEFAULT", json.dumps({"conn_type": "apprise", "extra": extra})
    )
    try:
        TaskFailed()(context(RuntimeError("x")))
        notifications.dispatcher().deliver()
    finally:
        server.shutdown()
    (posted,) = Service.posted
    assert posted["title"].startswith("[model loop] sklearn_training failed")
    assert "RuntimeError: x" in posted["message"]
    assert posted["type"] == "failure"
    assert len(sink.mails) == 1
    (waiting,) = notifications.dispatcher().outbox.waiting()
    assert "did not take the message" in waiting.problem


def test_without_a_connection_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither connection is defined, the delivery says which are missing."""
    monkeypatch.delenv("AIRFLOW_CONN_SMTP_DEFAULT", raising=False)
    monkeypatch.setattr("model_loop.orchestration.alerts.channels._is_defined", lambda _: False)
    run: Any = SimpleNamespace(run_id="r")
    with pytest.raises(DeliveryError, match="Neither the connection smtp_default"):
        deliver_waiting({"test": True}, run)


def test_a_link_to_the_run_is_in_the_mail(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run of the family, or of the DAG run, is found by its identity."""
    asked: list[tuple[str, ...]] = []

    def find(_uri: str, identities: tuple[str, ...]) -> str:
        asked.append(identities)
        return "http://mlflow/#/experiments/1/runs/abc"

    monkeypatch.setattr("model_loop.tracking.links.find_run_url", find)
    TaskFailed()(context(RuntimeError("x")))
    assert asked == [
        ("sklearn_training/manual__1/linear_model.Lasso", "sklearn_training/manual__1")
    ]
    assert "MLflow: http://mlflow/#/experiments/1/runs/abc" in plain(sink.mails[0])
    assert failed_tasks.run_url("a", "b c").endswith("/dags/a/runs/b%20c")
