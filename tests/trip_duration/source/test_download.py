"""Months from the web and from S3: tried again, continued, fetched once, never half."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem
from tests.commands import run_command
from tests.trip_duration.conftest import GREEN, JANUARY, fetch
from tests.websites import Website

from model_loop.errors import ContractError, InvalidInputError, SourceError, TransientSourceError
from model_loop.sources.download import ATTEMPTS
from trip_duration.contract.checked import CheckedMonthStore
from trip_duration.contract.rules import ContractLimits
from trip_duration.months import Month
from trip_duration.sample import write_month
from trip_duration.sample_options import SampleOptions
from trip_duration.source.fetching import check_months

NAME = "green_tripdata_2024-01.parquet"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A storage root of its own."""
    return tmp_path / "storage"


def published(folder: Path) -> bytes:
    """The month as the website has it."""
    return (folder / NAME).read_bytes()


def kept(storage: Path) -> list[str]:
    """Names of all files that were kept."""
    return sorted(path.name for path in storage.rglob("*") if path.is_file())


def test_download(website: Website, folder: Path, storage: Path) -> None:
    """A download equals the published file; beside it stands only where it comes from."""
    raw = fetch(website.url, storage)
    assert raw.digest == hashlib.sha256(published(folder)).hexdigest()
    assert raw.last_modified is not None
    assert kept(storage) == [NAME, f"{NAME}.source.json"]


def test_unchanged_month_is_fetched_once(website: Website, storage: Path) -> None:
    """As long as its source has the same file, a month is not downloaded again."""
    for etag in (None, '"first"', '"first"'):
        website.etag = etag
        first = fetch(website.url, storage)
        assert fetch(website.url, storage) == first
    assert website.downloads == 1


def test_changed_month_is_fetched_again(website: Website, folder: Path, storage: Path) -> None:
    """Another ETag is another file, which takes the place of the former."""
    website.etag = '"first"'
    first = fetch(website.url, storage)
    write_month(folder / NAME, GREEN, JANUARY, SampleOptions(trips=400, seed=9))
    website.etag = '"second"'
    second = fetch(website.url, storage)
    assert (first.etag, second.etag) == ('"first"', '"second"')
    assert Path(second.path).read_bytes() == published(folder)
    assert second.digest != first.digest
    assert website.downloads == 2


def test_spoilt_copy_is_fetched_again(website: Website, folder: Path, storage: Path) -> None:
    """A kept file of another size than was fetched is not used."""
    raw = fetch(website.url, storage)
    Path(raw.path).write_bytes(b"spoilt")
    assert fetch(website.url, storage) == raw
    assert Path(raw.path).read_bytes() == published(folder)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_refusal_is_final(website: Website, storage: Path, status: int) -> None:
    """What the server does not have is asked for once: trying again is of no use."""
    website.status = status
    with pytest.raises(SourceError, match=rf"HTTP {status}") as caught:
        fetch(website.url, storage)
    assert not isinstance(caught.value, TransientSourceError)
    # An address for GET alone may refuse HEAD in the same way.
    assert website.requests == ["HEAD", "GET"]
    assert kept(storage) == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_failures_may_pass(website: Website, storage: Path, status: int) -> None:
    """A server that fails twice is asked again; what it has then is taken."""
    website.status, website.failures = status, 2
    fetch(website.url, storage)
    assert website.requests == ["HEAD", "HEAD", "HEAD", "GET"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_lasting_failures_are_told_apart(website: Website, status: int) -> None:
    """After some attempts it is an error that may pass, so that a task tries again later."""
    website.status = status
    with pytest.raises(TransientSourceError, match=f"HTTP {status}"):
        check_months(website.url, GREEN, [JANUARY], timeout_seconds=2)
    assert len(website.requests) == ATTEMPTS


def test_waits_as_long_as_it_is_told(website: Website, storage: Path) -> None:
    """`Retry-After` is heeded."""
    website.status, website.failures, website.retry_after = 429, 1, "1"
    started = time.monotonic()
    fetch(website.url, storage)
    assert time.monotonic() - started >= 1.0


def test_slow_server(website: Website) -> None:
    """A server that does not answer in time may answer later."""
    website.stall_seconds = 30
    with pytest.raises(TransientSourceError, match=r"did not answer.*timed out"):
        check_months(website.url, GREEN, [JANUARY], timeout_seconds=0.1)


def test_malformed_address() -> None:
    """What is no address is the user's to change: trying again is of no use."""
    with pytest.raises(InvalidInputError, match="is not an address"):
        check_months("http://", GREEN, [JANUARY], timeout_seconds=1)


def test_no_server() -> None:
    """An address where nobody answers is named."""
    with pytest.raises(TransientSourceError, match=r"127\.0\.0\.1:9.*did not answer"):
        check_months("http://127.0.0.1:9", GREEN, [JANUARY], timeout_seconds=1)


def test_all_missing_months_are_named(website: Website) -> None:
    """Whoever asks for several months that are missing hears of all of them at once."""
    months = [JANUARY, Month(2024, 2), Month(2024, 3)]
    with pytest.raises(SourceError, match=r"2024-02.* is not published.*2024-03") as caught:
        check_months(website.url, GREEN, months, timeout_seconds=2)
    assert "2024-01" not in str(caught.value)


def test_broken_download_is_continued(website: Website, folder: Path, storage: Path) -> None:
    """A download that breaks off goes on where it stopped: no byte is sent twice."""
    website.cut_off = 2
    raw = fetch(website.url, storage)
    assert Path(raw.path).read_bytes() == published(folder)
    assert website.bytes_sent == raw.size
    assert website.downloads == 3


def test_later_call_continues(website: Website, folder: Path, storage: Path) -> None:
    """What has arrived is used by the next call, and nothing is left behind in the end."""
    website.cut_off = ATTEMPTS
    with pytest.raises(TransientSourceError, match="broke off"):
        fetch(website.url, storage)
    assert NAME not in kept(storage)
    raw = fetch(website.url, storage)
    assert Path(raw.path).read_bytes() == published(folder)
    assert website.bytes_sent == raw.size
    assert kept(storage) == [NAME, f"{NAME}.source.json"]


def test_halves_of_two_versions_are_never_joined(
    website: Website, folder: Path, storage: Path
) -> None:
    """If the file changes between the halves, it is fetched from its beginning."""
    website.etag, website.cut_off = '"first"', ATTEMPTS
    with pytest.raises(TransientSourceError):
        fetch(website.url, storage)
    write_month(folder / NAME, GREEN, JANUARY, SampleOptions(trips=500, seed=5))
    website.etag = '"second"'
    raw = fetch(website.url, storage)
    assert Path(raw.path).read_bytes() == published(folder)
    assert raw.etag == '"second"'


def test_server_that_cannot_continue(website: Website, folder: Path, storage: Path) -> None:
    """A server that knows no ranges sends the whole file again."""
    website.ranges, website.cut_off = False, 1
    raw = fetch(website.url, storage)
    assert Path(raw.path).read_bytes() == published(folder)


def test_former_file_survives_a_broken_download(
    website: Website, folder: Path, storage: Path
) -> None:
    """A download that breaks off does not harm the copy; the error tells how to use it."""
    website.etag = '"first"'
    before = fetch(website.url, storage)
    website.etag, website.cut_off = '"second"', ATTEMPTS
    with pytest.raises(TransientSourceError, match=r"broke off.*A copy of 20.* is kept: give") as c:
        fetch(website.url, storage)
    assert str(Path(before.path).parent) in str(c.value)
    assert Path(before.path).read_bytes() == published(folder)


def _fetch_in_process(url: str, storage: Path) -> None:
    fetch(url, storage)


def test_killed_download_is_continued(website: Website, folder: Path, storage: Path) -> None:
    """A download whose process is killed is continued by the next one, which leaves nothing."""
    website.chunk_pause_seconds = 0.2
    process = multiprocessing.get_context("fork").Process(
        target=_fetch_in_process, args=(website.url, storage)
    )
    process.start()
    while website.bytes_sent < 10_000:
        time.sleep(0.005)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    website.chunk_pause_seconds = 0.0
    raw = fetch(website.url, storage)
    assert Path(raw.path).read_bytes() == published(folder)
    assert kept(storage) == [NAME, f"{NAME}.source.json"]


def _kill(*_args: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("etag", [None, '"first"'])
@pytest.mark.parametrize("changed", [False, True])
def test_killed_before_it_got_its_name(
    website: Website,
    folder: Path,
    storage: Path,
    monkeypatch: pytest.MonkeyPatch,
    etag: str | None,
    *,
    changed: bool,
) -> None:
    """What had arrived is taken if the server still has it, and fetched again if not."""
    website.etag = etag
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", _kill)
        process = multiprocessing.get_context("fork").Process(
            target=_fetch_in_process, args=(website.url, storage)
        )
        process.start()
        process.join()
    assert NAME not in kept(storage)
    if changed:
        write_month(folder / NAME, GREEN, JANUARY, SampleOptions(trips=500, seed=5))
        os.utime(folder / NAME, (10**9, 10**9))
        website.etag = '"second"' if etag else None
    downloads = website.downloads
    raw = fetch(website.url, storage)
    assert Path(raw.path).read_bytes() == published(folder)
    assert website.downloads - downloads == (1 if changed else 0)
    assert kept(storage) == [NAME, f"{NAME}.source.json"]


def test_more_has_arrived_than_there_is(website: Website, folder: Path, storage: Path) -> None:
    """A server that has no byte at that place is asked for all of the file."""
    website.cut_off = ATTEMPTS
    with pytest.raises(TransientSourceError):
        fetch(website.url, storage)
    (part,) = storage.rglob(".*.part")
    part.write_bytes(published(folder) + b"more")
    begun = part.with_suffix(".json")
    known = json.loads(begun.read_text())
    begun.write_text(json.dumps({name: known[name] for name in ("url", "validator")}))
    raw = fetch(website.url, storage)
    assert Path(raw.path).read_bytes() == published(folder)


@pytest.mark.parametrize("damage", ["cut short", "of other types", "of another version"])
def test_a_note_that_cannot_be_read(
    website: Website, folder: Path, storage: Path, damage: str
) -> None:
    """Without it, nothing says what has arrived: it is moved aside, and all is fetched again."""
    website.cut_off = ATTEMPTS
    with pytest.raises(TransientSourceError):
        fetch(website.url, storage)
    (part,) = storage.rglob(".*.part")
    begun = part.with_suffix(".json")
    known = json.loads(begun.read_text())
    written = {
        "cut short": '{"url": "htt',
        "of other types": json.dumps({**known, "size": "1 MB"}),
        "of another version": json.dumps([known]),
    }
    begun.write_text(written[damage])
    assert Path(fetch(website.url, storage).path).read_bytes() == published(folder)
    (aside,) = storage.rglob(".*.unreadable-*")
    assert aside.read_text() == written[damage]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 501])
def test_a_server_that_answers_no_head(
    website: Website, folder: Path, storage: Path, status: int
) -> None:
    """Signed addresses are for GET alone."""
    website.head_status, website.etag = status, '"first"'
    check_months(website.url, GREEN, [JANUARY], timeout_seconds=2)
    raw = fetch(website.url, storage)
    assert Path(raw.path).read_bytes() == published(folder)
    assert fetch(website.url, storage) == raw


def test_a_limit_that_is_told_by_403(website: Website, storage: Path) -> None:
    """With a time to wait, 403 means too many requests: it is waited for, and may pass."""
    website.status, website.failures, website.retry_after = 403, 1, "1"
    started = time.monotonic()
    fetch(website.url, storage)
    assert time.monotonic() - started >= 1.0
    website.failures, website.retry_after = None, "0"
    with pytest.raises(TransientSourceError, match="HTTP 403"):
        check_months(website.url, GREEN, [JANUARY], timeout_seconds=2)


def test_a_403_without_a_word_says_what_it_may_mean(website: Website) -> None:
    """Nothing tells a limit from a month that is not there."""
    website.status = 403
    with pytest.raises(SourceError, match=r"HTTP 403.*too many requests: then try again later"):
        check_months(website.url, GREEN, [JANUARY], timeout_seconds=2)


@pytest.mark.parametrize("part", ["whole", "other", "long", "unsaid"])
def test_a_part_that_was_not_asked_for(
    website: Website, folder: Path, storage: Path, part: str
) -> None:
    """It is never joined to what is there; all of the file is fetched."""
    website.etag, website.cut_off, website.part = '"first"', 1, part
    raw = fetch(website.url, storage)
    assert Path(raw.path).read_bytes() == published(folder)
    assert website.downloads == 3


def test_the_size_of_a_continued_file(website: Website, storage: Path) -> None:
    """Without an ETag, a file that was continued is known again by its whole size."""
    website.cut_off = 1
    first = fetch(website.url, storage)
    downloads = website.downloads
    assert fetch(website.url, storage) == first
    assert website.downloads == downloads


@pytest.mark.parametrize("cut_off", [0, 1])
def test_a_file_that_arrives_packed(
    website: Website, folder: Path, storage: Path, cut_off: int
) -> None:
    """Some servers always compress: what is kept is the file itself."""
    website.packing, website.etag, website.cut_off = "gzip", '"first"', cut_off
    raw = fetch(website.url, storage)
    assert Path(raw.path).read_bytes() == published(folder)
    assert fetch(website.url, storage) == raw


def test_a_packing_that_is_not_unpacked(website: Website, storage: Path) -> None:
    """It is refused, and nothing is kept."""
    website.packing = "br"
    with pytest.raises(SourceError, match=r"sends the file packed \(br\)"):
        fetch(website.url, storage)
    assert NAME not in kept(storage)


@pytest.mark.parametrize("length", ["{}, {}", "abc", "{}.0", "-5", "", "+{}"])
def test_a_length_that_is_no_number(
    website: Website, folder: Path, storage: Path, length: str
) -> None:
    """It is as good as none: the file itself tells whether it is whole."""
    website.length, website.etag = length, '"first"'
    raw = fetch(website.url, storage)
    assert Path(raw.path).read_bytes() == published(folder)
    assert fetch(website.url, storage) == raw
    assert website.downloads == 1


def test_a_whole_file_that_is_called_a_part(website: Website, folder: Path, storage: Path) -> None:
    """Some caches answer so to whoever asks for no part: all of the file is there."""
    website.whole_status = 206
    raw = fetch(website.url, storage)
    assert Path(raw.path).read_bytes() == published(folder)
    assert website.downloads == 1


def damaged(content: bytes) -> bytes:
    """Damage some pages; the end of the file, which is read first, stays sound."""
    changed = bytearray(content)
    changed[4:2_000] = bytes(place % 251 for place in range(1_996))
    return bytes(changed)


def test_a_damaged_download_is_fetched_again(
    website: Website, folder: Path, tmp_path: Path
) -> None:
    """`prepare` moves what it cannot read aside; the next one asks for the file anew."""
    write_month(folder / NAME, GREEN, JANUARY, SampleOptions(trips=3_000, seed=1))
    later = NAME.replace("01", "02")
    write_month(folder / later, GREEN, Month(2024, 2), SampleOptions(trips=3_000, seed=1))
    sound = published(folder)
    (folder / NAME).write_bytes(damaged(sound))
    website.etag = '"first"'
    months = ("--train", "2024-01", "--validation", "2024-02")
    arguments = ("prepare", "--source", website.url, "--storage", str(tmp_path / "s"), *months)
    first = run_command(*arguments, folder=tmp_path, environment=os.environ)
    assert first.returncode == 2, first.stderr
    assert "moved aside: run the same again" in " ".join(first.stderr.split())
    (folder / NAME).write_bytes(sound)
    again = run_command(*arguments, folder=tmp_path, environment=os.environ)
    assert again.returncode == 0, again.stderr
    names = [path.name for path in (tmp_path / "s").rglob(f"{NAME}.unreadable-*")]
    assert len(names) == 1


def test_a_damaged_file_of_the_user_stays(folder: Path, storage: Path) -> None:
    """Nothing is moved in a folder of the user's."""
    (folder / NAME).write_bytes(damaged(published(folder)))
    raw = fetch(str(folder), storage)
    with pytest.raises(ContractError, match="fetch it again"):
        CheckedMonthStore(str(storage)).check(raw, GREEN, ContractLimits())
    assert published(folder)
    assert [path.name for path in folder.iterdir()] == [NAME]


@pytest.mark.parametrize(
    "content", [b"", b"<html>Please log in</html>", b"PAR1" + b"x" * 99 + b"PAR1"]
)
def test_what_is_no_month_is_not_kept(
    website: Website, folder: Path, storage: Path, content: bytes
) -> None:
    """A page in the place of a file is told, and the next call asks for the file again."""
    sound = published(folder)
    (folder / NAME).write_bytes(content)
    website.etag = '"first"'
    with pytest.raises(SourceError, match="is not a readable Parquet file"):
        fetch(website.url, storage)
    assert kept(storage) == []
    (folder / NAME).write_bytes(sound)
    assert Path(fetch(website.url, storage).path).read_bytes() == sound


def test_several_at_once(website: Website, folder: Path, storage: Path) -> None:
    """Several that fetch the same month at once do not spoil each other's file."""
    with ThreadPoolExecutor(4) as pool:
        fetched = list(pool.map(lambda _: fetch(website.url, storage), range(4)))
    assert set(fetched) == {fetched[0]}
    assert Path(fetched[0].path).read_bytes() == published(folder)
    assert kept(storage) == [NAME, f"{NAME}.source.json"]


@pytest.fixture
def bucket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with the month."""
    S3FileSystem.clear_instance_cache()
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="months")
    client.put_object(Bucket="months", Key=f"tlc/{NAME}", Body=published(folder))
    yield "s3://months/tlc"
    server.stop()
    # Others find no connection to the server that is gone.
    S3FileSystem.clear_instance_cache()


def test_bucket_is_a_source(bucket: str, folder: Path, storage: Path) -> None:
    """A month from S3 is kept with its ETag, and fetched again only when that changes."""
    first = fetch(bucket, storage)
    assert Path(first.path).read_bytes() == published(folder)
    assert first.etag
    written = Path(first.path).stat().st_mtime_ns
    assert fetch(bucket, storage) == first
    assert Path(first.path).stat().st_mtime_ns == written
    write_month(folder / NAME, GREEN, JANUARY, SampleOptions(trips=350, seed=3))
    boto3.client("s3").put_object(Bucket="months", Key=f"tlc/{NAME}", Body=published(folder))
    assert fetch(bucket, storage).digest == hashlib.sha256(published(folder)).hexdigest()


def test_missing_in_the_bucket(bucket: str) -> None:
    """Months that the bucket lacks are named."""
    with pytest.raises(SourceError, match=r"lacks green_tripdata_2024-02\.parquet"):
        check_months(bucket, GREEN, [JANUARY, Month(2024, 2)], timeout_seconds=1)
