"""Tokens are named, kept as hashes, and taken back one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from trip_duration.errors import InvalidInputError
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


@pytest.mark.parametrize("text", ["", "[]", '{"tokens": [{"nom": "x"}]}'])
def test_a_file_that_is_none(file: TokenFile, text: str) -> None:
    """A damaged file is named, not taken for an empty one."""
    file.path.parent.mkdir()
    file.path.write_text(text)
    with pytest.raises(InvalidInputError, match="no file of tokens"):
        file.read()


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
