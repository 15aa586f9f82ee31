"""Tokens are named, kept as hashes, and taken back one by one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trip_duration.errors import InvalidInputError
from trip_duration.serving.bearer import BearerTokens
from trip_duration.serving.requests import RequestRefusedError
from trip_duration.serving.tokens import Bucket, KnownTokens, TokenFile


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    """A file without tokens."""
    return TokenFile(tmp_path / "serving" / "tokens.json")


def test_secrets_are_not_kept(file: TokenFile) -> None:
    """The file holds hashes, and only its owner may read it."""
    secrets = [file.add(name) for name in ("one", "two")]
    text = file.path.read_text()
    assert not any(secret in text for secret in secrets)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert [token.name for token in file.read()] == ["one", "two"]


def test_a_secret_is_found_by_its_hash(file: TokenFile) -> None:
    """Each secret leads to its name, and nothing else does."""
    known = KnownTokens(file, rate=5)
    secret = file.add("one")
    other = file.add("two", rate=7)
    assert known.find(secret.encode()) is None
    known.refresh()
    found, second = known.find(secret.encode()), known.find(other.encode())
    assert found is not None
    assert second is not None
    assert (found[0], found[1].rate, second[0], second[1].rate) == ("one", 5, "two", 7)
    assert known.find(b"") is None
    assert known.find(file.read()[0].sha256.encode()) is None
    file.revoke("one")
    known.refresh()
    assert known.find(secret.encode()) is None
    again = known.find(other.encode())
    assert again is not None
    assert again[1] is second[1]
    file.path.unlink()
    known.refresh()
    assert known.find(other.encode()) is None


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb", "taken"])
def test_names_that_are_none(file: TokenFile, name: str) -> None:
    """A name is printable and nobody else's."""
    file.add("taken")
    with pytest.raises(InvalidInputError):
        file.add(name)
    assert len(file.read()) == 1


def test_unknown_names_and_rates(file: TokenFile) -> None:
    """Nothing changes."""
    with pytest.raises(InvalidInputError, match="unknown"):
        file.revoke("nobody")
    with pytest.raises(InvalidInputError, match="rate"):
        file.add("one", rate=-1)


_BROKEN = (
    "",
    "[]",
    "{}",
    '{"tokens": [{"nom": "x"}]}',
    '{"tokens": [{"name": 7, "sha256": "' + 64 * "0" + '"}]}',
    '{"tokens": [{"name": "x", "sha256": "td_a_secret_that_was_not_hashed"}]}',
    '{"tokens": [{"name": "x", "sha256": "' + 64 * "0" + '", "rate": "ten"}]}',
    '{"tokens": [{"name": "x", "sha256": "' + 64 * "0" + '", "rate": -1}]}',
    "\udcff",
)


@pytest.mark.parametrize("text", _BROKEN)
def test_a_file_that_is_none(file: TokenFile, text: str) -> None:
    """A damaged file is named, not taken for an empty one."""
    file.path.parent.mkdir()
    file.path.write_text(text, errors="surrogateescape")
    with pytest.raises(InvalidInputError, match="no file of tokens"):
        file.read()


@pytest.mark.parametrize("how", ["broken", "unreadable"])
def test_a_file_that_breaks_while_the_server_runs(file: TokenFile, how: str) -> None:
    """Whoever was known stays known, nobody else gets in, and the next good file counts."""
    secret = file.add("one")
    bearer = BearerTokens(KnownTokens(file, rate=0), refresh_seconds=0)

    def ask(secret: str) -> str:
        headers = [(b"authorization", f"Bearer {secret}".encode())]
        return asyncio.run(bearer({"type": "http", "headers": headers}))

    good = file.path.read_bytes()
    file.path.unlink()
    if how == "broken":
        file.path.write_text(_BROKEN[-2])
    else:
        file.path.mkdir()
    assert ask(secret) == "one"
    with pytest.raises(RequestRefusedError) as caught:
        ask("td_wrong")
    assert caught.value.status == 401
    file.path.unlink() if how == "broken" else file.path.rmdir()
    file.path.write_bytes(good)
    file.revoke("one")
    with pytest.raises(RequestRefusedError):
        ask(secret)


def test_commands_take_turns(file: TokenFile) -> None:
    """Of several that change the file at once, none undoes another's change."""
    file.add("old")
    with ThreadPoolExecutor(8) as threads:
        added = [threads.submit(file.add, f"new-{number}") for number in range(20)]
        revoked = threads.submit(file.revoke, "old")
    assert all(one.result() for one in added)
    assert revoked.exception() is None
    assert {token.name for token in file.read()} == {f"new-{number}" for number in range(20)}


def test_a_bucket_fills_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the rate at once, then one after another."""
    now = [100.0]
    monkeypatch.setattr("trip_duration.serving.tokens.time.monotonic", lambda: now[0])
    bucket = Bucket(2)
    assert [bucket.take() for _ in range(2)] == [0.0, 0.0]
    assert bucket.take() == pytest.approx(0.5)
    now[0] += 0.5
    assert bucket.take() == 0.0
    assert bucket.take() > 0
    now[0] += 100
    assert [bucket.take() > 0 for _ in range(3)] == [False, False, True]
    assert not any(Bucket(0).take() for _ in range(10_000))
