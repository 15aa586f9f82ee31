"""Alerts are delivered once, in few messages, and never lost."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import s3fs
from moto.server import ThreadedMotoServer
from tests.alerts.conftest import Recorder, failure

from model_loop.alerts.dispatch import LEASE_SECONDS, AlertDispatcher
from model_loop.alerts.types import Alert, Message
from model_loop.errors import DeliveryError


def test_a_first_alert_goes_at_once(dispatcher: AlertDispatcher, recorder: Recorder) -> None:
    """One failure is one message, and then nothing waits."""
    dispatcher.submit(failure(1))
    assert [message.subject for message in recorder.messages] == [
        "[model loop] sklearn_training failed in model.tune (family 1)"
    ]
    assert dispatcher.outbox.waiting() == []


def test_the_same_alert_is_told_once(dispatcher: AlertDispatcher, recorder: Recorder) -> None:
    """A callback that Airflow calls twice is told once."""
    for _ in range(3):
        dispatcher.submit(failure(1))
    assert len(recorder.messages) == 1


def test_what_cannot_be_delivered_waits(dispatcher: AlertDispatcher, recorder: Recorder) -> None:
    """While the server is down nothing is lost; later all of it comes, and says why it is late."""
    recorder.down = True
    for number in range(3):
        dispatcher.submit(failure(number))
    done = dispatcher.deliver(scheduled=True)
    assert (done.sent, done.waiting) == (0, 3)
    assert "The mail server does not answer" in done.problems[0]

    recorder.down = False
    dispatcher.submit(failure(3))
    (message,) = recorder.messages
    assert message.subject == "[model loop] 4 failures: sklearn_training (4)"
    assert "This mail comes late" in message.text
    assert "The mail server does not answer" in message.text
    assert dispatcher.outbox.waiting() == []


def test_channels_fail_for_themselves(tmp_path: Path) -> None:
    """A channel that is down gets everything later; the other one gets it once, at once."""
    mail, chat = Recorder("mail"), Recorder("chat", down=True)
    dispatcher = AlertDispatcher(str(tmp_path), lambda: [mail, chat], window_seconds=0)
    dispatcher.submit(failure(1))
    dispatcher.submit(failure(2))
    chat.down = False
    dispatcher.deliver()
    assert [len(mail.messages), len(chat.messages)] == [2, 1]
    assert chat.messages[0].subject.startswith("[model loop] 2 failures")
    assert dispatcher.outbox.waiting() == []


def test_without_a_channel_alerts_wait(tmp_path: Path) -> None:
    """A missing connection is reported, and the alerts wait."""

    def none() -> list[Recorder]:
        raise DeliveryError("No connection", "is defined", "Define one.")

    dispatcher = AlertDispatcher(str(tmp_path), none, window_seconds=0)
    dispatcher.submit(failure(1))
    assert dispatcher.deliver().problems == ("No connection is defined. Define one.",)
    assert len(dispatcher.outbox.waiting()) == 1


class Clock:
    """The time of leases."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000_000.0
        monkeypatch.setattr("model_loop.alerts.lease.time.time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still."""
    return Clock(monkeypatch)


def test_a_killed_sender_loses_nothing(
    dispatcher: AlertDispatcher, recorder: Recorder, clock: Clock
) -> None:
    """Its lease lapses, and the next sender sends what it has left."""
    dispatcher.outbox.put(failure(1))
    assert dispatcher._sending.acquire() is not None
    for _ in range(2):
        assert dispatcher.deliver(patience_seconds=0, scheduled=True).waiting == 1
        clock.now += LEASE_SECONDS
    assert dispatcher.deliver(patience_seconds=0).sent == 1
    assert len(recorder.messages) == 1


def test_what_follows_the_first_message_is_bundled(
    tmp_path: Path, recorder: Recorder, clock: Clock
) -> None:
    """Within the window alerts are left to the scheduled delivery; after it one goes at once."""
    dispatcher = AlertDispatcher(str(tmp_path), lambda: [recorder], window_seconds=300)
    for number in range(4):
        dispatcher.submit(failure(number))
    assert len(recorder.messages) == 1
    assert dispatcher.deliver(scheduled=True).sent == 3
    assert recorder.messages[1].subject.startswith("[model loop] 3 failures")
    clock.now += 300
    dispatcher.submit(failure(4))
    assert len(recorder.messages) == 3


def test_a_failed_message_is_no_first_one(tmp_path: Path, recorder: Recorder) -> None:
    """As soon as the mail server answers, the next alert brings all that waits."""
    dispatcher = AlertDispatcher(str(tmp_path), lambda: [recorder], window_seconds=300)
    recorder.down = True
    dispatcher.submit(failure(1))
    recorder.down = False
    dispatcher.submit(failure(2))
    (message,) = recorder.messages
    assert message.subject == "[model loop] 2 failures: sklearn_training (2)"


def test_an_alert_that_cannot_be_kept_is_sent(
    dispatcher: AlertDispatcher, recorder: Recorder, tmp_path: Path
) -> None:
    """Each alert goes out at once if the storage itself has failed."""
    (tmp_path / "alerts").write_text("no folder")
    dispatcher.submit(failure(1), failure(2))
    assert len(recorder.messages) == 2


def test_what_another_version_has_kept_is_told(
    dispatcher: AlertDispatcher, recorder: Recorder
) -> None:
    """An alert that waits while the package is upgraded is told, and holds up no other."""
    dispatcher.outbox.put(failure(1))
    (kept,) = dispatcher.outbox.waiting_folder.iterdir()
    kept.write_text(kept.read_text().replace('"summary"', '"what"'))
    dispatcher.submit(failure(2))
    (message,) = recorder.messages
    assert "(family 1)" in message.text
    assert "another version" in message.text
    assert dispatcher.outbox.waiting() == []


#: Contents that no reader of today understands.
DAMAGED = {
    "empty": "",
    "cut short": '{"$dataclass": "trip_duration.alerts',
    "other JSON": "[1, 2]",
    "no object": "null",
    "a class that is gone": '{"$dataclass": "trip_duration.alerts.gone:Gone", "fields": {}}',
    "another class": '{"$dataclass": "trip_duration.trips.months:Month", "fields": '
    '{"year": 2024, "number": 1}}',
    "fields of other types": '{"$dataclass": "trip_duration.alerts.types:Link", "fields": '
    '{"title": 7, "url": 1.5}}',
    "another kind of alert": '{"$dataclass": "trip_duration.alerts.types:Envelope", "fields": '
    '{"alert": {"$dataclass": "trip_duration.alerts.types:Alert", "fields": {"kind": "news", '
    '"key": "k", "about": "a", "subject": "s", "headline": "h", "summary": "it"}}}}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_alert_is_told(
    dispatcher: AlertDispatcher, recorder: Recorder, content: str
) -> None:
    """An alert that cannot be read is moved aside, and its place is told once; others are sent."""
    dispatcher.outbox.put(failure(1))
    (kept,) = dispatcher.outbox.waiting_folder.iterdir()
    kept.write_text(content)
    dispatcher.submit(failure(2))
    dispatcher.deliver()
    (message,) = recorder.messages
    assert "(family 2)" in message.text
    assert "cannot be read" in message.text
    (aside,) = dispatcher.outbox.waiting_folder.iterdir()
    assert str(aside) in message.text
    assert aside.read_text() == content


def test_old_notes_are_forgotten(
    dispatcher: AlertDispatcher, recorder: Recorder, tmp_path: Path
) -> None:
    """Notes of old alerts and old leases are removed."""
    for number in range(3):
        dispatcher.submit(failure(number))
    assert len(recorder.messages) == 3
    assert dispatcher.outbox.knows(failure(1).about, dt.datetime.fromtimestamp(0, tz=dt.UTC))
    assert not dispatcher.outbox.knows(failure(1).about, dt.datetime.now(tz=dt.UTC))
    dispatcher.outbox.forget()
    assert len(list(dispatcher.outbox.told_folder.iterdir())) == 3
    former = tmp_path / "alerts/turns/000000000001.json"
    former.parent.mkdir()
    former.write_text("{}")
    for path in (former, *dispatcher.outbox.told_folder.iterdir()):
        os.utime(str(path), (0, 0))
    dispatcher.outbox.forget()
    assert not former.exists()
    assert not list(dispatcher.outbox.told_folder.iterdir())


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 server with one empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="alerts")
    yield "s3://alerts/storage"
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def test_object_stores_serve_as_well(bucket: str, recorder: Recorder) -> None:
    """On S3 too an alert waits, is told once, and only one sender has the lease."""
    recorder.down = True
    dispatchers = [AlertDispatcher(bucket, lambda: [recorder], window_seconds=0) for _ in range(2)]
    for number in (1, 2):
        dispatchers[0].submit(failure(number))
    recorder.down = False
    assert dispatchers[1].deliver().sent == 2
    dispatchers[1].submit(failure(1))
    assert len(recorder.messages) == 1
    assert dispatchers[0].outbox.waiting() == []
    held = dispatchers[0]._sending.acquire()
    assert held is not None
    assert dispatchers[1]._sending.acquire() is None
    held.unlink()
    assert dispatchers[1]._sending.acquire() is not None


class FolderChannel:
    """Keeps messages as files, so that processes share it."""

    name = "folder"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def takes(self, alert: Alert) -> bool:
        """Take everything."""
        return bool(alert.key)

    def send(self, message: Message) -> None:
        """Keep a message."""
        (self.folder / message.identity).write_text(
            json.dumps([message.subject, message.text]), encoding="utf-8"
        )


def _fail(root: str, folder: Path, number: int) -> None:
    dispatcher = AlertDispatcher(root, lambda: [FolderChannel(folder)], window_seconds=300)
    dispatcher.submit(failure(number))


def test_a_storm_is_two_mails(tmp_path: Path) -> None:
    """Of fifty failures in several processes one is told at once, the others in one mail."""
    folder = tmp_path / "messages"
    folder.mkdir()
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=context) as pool:
        list(pool.map(_fail, [str(tmp_path)] * 50, [folder] * 50, range(50)))
    assert len(list(folder.iterdir())) == 1
    channels = [FolderChannel(folder)]
    scheduled = AlertDispatcher(str(tmp_path), lambda: channels, window_seconds=300)
    assert scheduled.deliver(scheduled=True).waiting == 0
    messages = ["\n".join(json.loads(path.read_text())) for path in folder.iterdir()]
    assert len(messages) == 2
    for number in range(50):
        assert sum(f"(family {number})" in message for message in messages) == 1


def test_senders_at_once_send_each_alert_once(tmp_path: Path) -> None:
    """Without a window every process sends; none sends what another is sending."""
    folder = tmp_path / "messages"
    folder.mkdir()
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=context) as pool:
        list(pool.map(_send_all, [str(tmp_path)] * 20, [folder] * 20, range(20)))
    messages = ["\n".join(json.loads(path.read_text())) for path in folder.iterdir()]
    for number in range(20):
        assert sum(f"(family {number})" in message for message in messages) == 1


def _send_all(root: str, folder: Path, number: int) -> None:
    channels = [FolderChannel(folder)]
    AlertDispatcher(root, lambda: channels, window_seconds=0).submit(failure(number))
