"""Alerts are delivered once, in few messages, and never lost."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import s3fs
from moto.server import ThreadedMotoServer
from tests.alerts.conftest import Recorder, failure
from upath import UPath

from model_loop.alerts import turns
from model_loop.alerts.office import PostOffice
from model_loop.alerts.turns import Turns
from model_loop.alerts.types import Message
from model_loop.errors import DeliveryError
from model_loop.objects import write_bytes


def tell(office: PostOffice, number: int) -> None:
    """Hand an alert in."""
    if office.outbox.put(failure(number)):
        office.deliver()


def test_a_first_alert_goes_at_once(office: PostOffice, recorder: Recorder) -> None:
    """One failure is one message, and then nothing waits."""
    tell(office, 1)
    assert [message.subject for message in recorder.messages] == [
        "[model loop] sklearn_training failed in model.tune (family 1)"
    ]
    assert office.outbox.waiting() == []


def test_the_same_alert_is_told_once(office: PostOffice, recorder: Recorder) -> None:
    """A callback that Airflow calls twice is told once."""
    for _ in range(3):
        tell(office, 1)
    assert len(recorder.messages) == 1


def test_what_cannot_be_delivered_waits(office: PostOffice, recorder: Recorder) -> None:
    """While the server is down nothing is lost; later all of it comes, and says why it is late."""
    recorder.down = True
    for number in range(3):
        tell(office, number)
    done = office.deliver(at_once=True)
    assert (done.sent, done.waiting) == (0, 3)
    assert "The mail server does not answer" in done.problems[0]

    recorder.down = False
    tell(office, 3)
    (message,) = recorder.messages
    assert message.subject == "[model loop] 4 failures: sklearn_training (4)"
    assert "This mail comes late" in message.text
    assert "The mail server does not answer" in message.text
    assert office.outbox.waiting() == []


def test_channels_fail_for_themselves(tmp_path: Path) -> None:
    """Where one channel is down the other gets everything once; the first gets it later."""
    mail, chat = Recorder("mail"), Recorder("chat", down=True)
    office = PostOffice(str(tmp_path), lambda: [mail, chat], window_seconds=0)
    tell(office, 1)
    tell(office, 2)
    chat.down = False
    office.deliver()
    assert [len(mail.messages), len(chat.messages)] == [2, 1]
    assert chat.messages[0].subject.startswith("[model loop] 2 failures")
    assert office.outbox.waiting() == []


def test_without_a_channel_alerts_wait(tmp_path: Path) -> None:
    """Where no connection is defined, that is said, and the alerts wait."""

    def none() -> list[Recorder]:
        raise DeliveryError("No connection", "is defined", "Define one.")

    office = PostOffice(str(tmp_path), none, window_seconds=0)
    tell(office, 1)
    assert office.deliver().problems == ("No connection is defined. Define one.",)
    assert len(office.outbox.waiting()) == 1


def test_a_killed_sender_loses_nothing(
    office: PostOffice, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is killed while it sends holds the turn no longer than its lease; the next one sends."""
    office.outbox.put(failure(1))
    assert office.turns.take(patience_seconds=0) is not None
    assert office.deliver(patience_seconds=0).waiting == 1
    monkeypatch.setattr(turns, "LEASE_SECONDS", -1.0)
    assert office.deliver(patience_seconds=0).sent == 1
    assert len(recorder.messages) == 1


def test_pauses_grow_up_to_the_window(tmp_path: Path) -> None:
    """After each message the pause doubles; after a quiet window the next one goes at once."""
    found = Turns(UPath(tmp_path), window_seconds=60)
    now = dt.datetime.now(tz=dt.UTC)
    told = [
        turns.Turn(number, now, now - dt.timedelta(seconds=50 - number), sent=1)
        for number in range(5)
    ]
    pauses = [
        (found._due(told[:count], now) - (told[count - 1].ended or now)).total_seconds()
        for count in (1, 2, 3, 4, 5)
    ]
    assert pauses == [5, 10, 20, 40, 60]
    assert found._due(told, now + dt.timedelta(seconds=60)) == now + dt.timedelta(seconds=60)


def test_long_pauses_are_left_to_others(tmp_path: Path, recorder: Recorder) -> None:
    """Who would have to wait long does not; the scheduled delivery makes no pause."""
    office = PostOffice(str(tmp_path), lambda: [recorder], window_seconds=300)
    tell(office, 1)
    office.outbox.put(failure(2))
    assert office.deliver(patience_seconds=1).waiting == 1
    assert office.deliver(at_once=True).sent == 1


def test_what_another_version_has_kept_is_told(office: PostOffice, recorder: Recorder) -> None:
    """An alert that waits while the package is upgraded is told, and holds up no other."""
    office.outbox.put(failure(1))
    (kept,) = office.outbox.waiting_folder.iterdir()
    kept.write_text(kept.read_text().replace('"summary"', '"what"'))
    tell(office, 2)
    (message,) = recorder.messages
    assert "(family 1)" in message.text
    assert "another version" in message.text
    assert office.outbox.waiting() == []


#: Contents that no reader of today understands.
DAMAGED = {
    "empty": "",
    "cut short": '{"$dataclass": "trip_duration.alerts',
    "other JSON": "[1, 2]",
    "no object": "null",
    "a class that is gone": '{"$dataclass": "trip_duration.alerts.gone:Gone", "fields": {}}',
    "another class": '{"$dataclass": "trip_duration.trips.months:Month", "fields": '
    '{"year": 2024, "number": 1}}',
    "fields of other types": '{"$dataclass": "trip_duration.alerts.turns:Turn", "fields": '
    '{"number": 7, "opens": 1.5}}',
    "another kind of alert": '{"$dataclass": "trip_duration.alerts.types:Envelope", "fields": '
    '{"alert": {"$dataclass": "trip_duration.alerts.types:Alert", "fields": {"kind": "news", '
    '"key": "k", "about": "a", "subject": "s", "headline": "h", "summary": "it"}}}}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("name", ["000000000007.json", "turn.json"])
def test_a_damaged_turn_stops_no_alert(
    office: PostOffice, recorder: Recorder, content: str, name: str
) -> None:
    """A turn that cannot be read is moved aside and kept; what waits is sent."""
    tell(office, 1)
    (office.turns.folder / name).write_text(content)
    tell(office, 2)
    tell(office, 3)
    assert len(recorder.messages) == 3
    (aside,) = office.turns.folder.glob("*unreadable*")
    assert aside.name.startswith(f"{name}.unreadable-20")
    assert aside.read_text() == content


@pytest.mark.parametrize("ended", [False, True])
def test_a_clock_that_ran_ahead_stops_no_alert(
    tmp_path: Path, recorder: Recorder, *, ended: bool
) -> None:
    """A turn of next year, ended or not, holds nobody up."""
    office = PostOffice(str(tmp_path), lambda: [recorder], window_seconds=60)
    ahead = dt.datetime.now(tz=dt.UTC) + dt.timedelta(days=365)
    turn = turns.Turn(2, ahead, ahead, sent=1) if ended else turns.Turn(2, ahead)
    write_bytes(office.turns._path(turn.number), turns._json(turn))
    office.outbox.put(failure(1))
    assert office.deliver(patience_seconds=0).sent == 1


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_alert_is_told(office: PostOffice, recorder: Recorder, content: str) -> None:
    """An alert that cannot be read is moved aside, and its place is told once; others are sent."""
    office.outbox.put(failure(1))
    (kept,) = office.outbox.waiting_folder.iterdir()
    kept.write_text(content)
    tell(office, 2)
    office.deliver()
    (message,) = recorder.messages
    assert "(family 2)" in message.text
    assert "cannot be read" in message.text
    (aside,) = office.outbox.waiting_folder.iterdir()
    assert str(aside) in message.text
    assert aside.read_text() == content


def test_old_notes_are_forgotten(office: PostOffice, recorder: Recorder) -> None:
    """What was told long ago is no longer noted down; turns do not pile up."""
    for number in range(3):
        tell(office, number)
    assert len(recorder.messages) == 3
    assert office.outbox.knows(failure(1).about, dt.datetime.fromtimestamp(0, tz=dt.UTC))
    assert not office.outbox.knows(failure(1).about, dt.datetime.now(tz=dt.UTC))
    office.outbox.forget()
    assert len(list(office.outbox.told_folder.iterdir())) == 3


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
    """On S3 too an alert waits, is told once, and no two senders have the same turn."""
    recorder.down = True
    offices = [PostOffice(bucket, lambda: [recorder], window_seconds=0) for _ in range(2)]
    for number in (1, 2):
        tell(offices[0], number)
    recorder.down = False
    assert offices[1].deliver().sent == 2
    tell(offices[1], 1)
    assert len(recorder.messages) == 1
    assert offices[0].outbox.waiting() == []
    turn = offices[0].turns.take(patience_seconds=1)
    assert turn is not None
    assert not offices[1].turns._claim(turn)


class FolderChannel:
    """Keeps messages as files, so that processes share it."""

    name = "folder"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def send(self, message: Message) -> None:
        """Keep a message."""
        (self.folder / message.identity).write_text(
            json.dumps([message.subject, message.text]), encoding="utf-8"
        )


def _fail(root: str, folder: Path, number: int) -> None:
    office = PostOffice(root, lambda: [FolderChannel(folder)], window_seconds=300)
    tell(office, number)


def test_a_storm_is_two_mails(tmp_path: Path) -> None:
    """Of fifty failures in several processes the first are told at once, the others in one mail."""
    folder = tmp_path / "messages"
    folder.mkdir()
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=context) as pool:
        list(pool.map(_fail, [str(tmp_path)] * 50, [folder] * 50, range(50)))
    messages = ["\n".join(json.loads(path.read_text())) for path in folder.iterdir()]
    assert len(messages) == 2
    for number in range(50):
        assert sum(f"(family {number})" in message for message in messages) == 1
