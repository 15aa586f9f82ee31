"""Tokens are named, kept as hashes, and taken back one by one."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from model_loop.errors import InvalidInputError
from model_loop.serving.http.bearer import BearerTokens
from model_loop.serving.http.requests import RequestRefusedError
from model_loop.serving.http.tokens import RIGHTS, Bucket, Caller, TokenFile, TokenIndex, digest


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
    known = TokenIndex(file, rate=5, served={"trips", "green"})
    secret = file.add("one")
    other = file.add("two", rate=7)
    assert known.find(secret.encode()) is None
    known.refresh()
    found, second = known.find(secret.encode()), known.find(other.encode())
    assert found is not None
    assert second is not None
    assert (found.caller.name, found.bucket.rate) == ("one", 5)
    assert (second.caller.name, second.bucket.rate) == ("two", 7)
    assert known.find(b"") is None
    assert known.find(file.read()[0].sha256.encode()) is None
    file.revoke("one")
    known.refresh()
    assert known.find(secret.encode()) is None
    again = known.find(other.encode())
    assert again is not None
    assert again.bucket is second.bucket
    file.path.unlink()
    known.refresh()
    assert known.find(other.encode()) is None


def test_every_part_of_a_hash_counts(file: TokenFile) -> None:
    """A hash that differs in one of its 64 digits is that of another secret."""
    secret = file.add("one")
    (token,) = file.read()
    text = file.path.read_text()
    for place, digit in enumerate(token.sha256):
        other = f"{token.sha256[:place]}{'0' if digit != '0' else '1'}{token.sha256[place + 1 :]}"
        file.path.write_text(text.replace(token.sha256, other))
        known = TokenIndex(file, rate=5, served={"trips", "green"})
        known.refresh()
        assert known.find(secret.encode()) is None, place
    file.path.write_text(text)
    known.refresh()
    assert known.find(secret.encode()) is not None


def asking(file: TokenFile, service: str = "green") -> Callable[[str], Caller]:
    """A server's way to name callers, by their secrets."""
    bearer = BearerTokens(TokenIndex(file, rate=0, served={"trips", service}), refresh_seconds=0)

    def ask(secret: str) -> Caller:
        headers = [(b"authorization", f"Bearer {secret}".encode())]
        return asyncio.run(bearer({"type": "http", "headers": headers}))

    return ask


def refused(ask: Callable[[str], Caller], secret: str) -> tuple[int, str]:
    """Status and rule of a refusal."""
    with pytest.raises(RequestRefusedError) as caught:
        ask(secret)
    return caught.value.status, caught.value.rule


def test_the_file_says_its_format(file: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored token is a record token/1, with all its limits."""
    monkeypatch.setattr("time.time", lambda: 1_000.0)
    secret = file.add("one", 5, scopes=["predict"], datasets=["green"], days=1)
    assert json.loads(file.path.read_text()) == {
        "format": "token/1",
        "tokens": [
            {
                "name": "one",
                "sha256": digest(secret),
                "scopes": ["predict"],
                "datasets": ["green"],
                "expires": 87_400.0,
                "limits": {"rate": 5},
                "made": 1_000.0,
            }
        ],
    }


def test_a_file_of_before_is_read(file: TokenFile) -> None:
    """Tokens of version 0.1 are good for what there was then, and stay so in a file of today."""
    file.path.parent.mkdir()
    old = {"name": "format", "sha256": digest("secret"), "rate": 7.0, "made": 12.5}
    file.path.write_text(json.dumps({"tokens": [old]}))
    for _ in range(2):
        found = asking(file)("secret")
        assert found == Caller("format", frozenset({"predict", "feedback", "read"}))
        token = file.read()[0]
        assert (token.expires, token.datasets, token.limits.rate, token.made) == (
            None,
            None,
            7.0,
            12.5,
        )
        file.add(f"new {len(file.read())}")
    assert "token/1" in file.path.read_text()


def test_a_token_ends(file: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second that it names; the answer says when that was."""
    now = [0.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    secret, for_ever = file.add("one", days=2), file.add("two")
    ask = asking(file)
    now[0] = 2 * 86_400 - 0.001
    assert ask(secret).name == "one"
    now[0] += 0.001
    status, rule = refused(ask, secret)
    assert status == 401
    assert "1970-01-03 00:00 UTC" in rule
    assert ask(for_ever).name == "two"


def test_a_token_is_for_its_datasets(file: TokenFile) -> None:
    """A server of another service refuses it; a name that begins alike is another one."""
    secret, any_of_them = file.add("one", datasets=["green"]), file.add("two")
    assert asking(file, "green")(secret).name == "one"
    for other in ("yellow", "gree", "greener"):
        assert refused(asking(file, other), secret)[0] == 403
        assert asking(file, other)(any_of_them).name == "two"


def test_admin_is_good_for_everything(file: TokenFile) -> None:
    """So that a scope that comes later is in it, too."""
    assert asking(file)(file.add("one", scopes=["admin"])).scopes == frozenset(RIGHTS)


def test_what_no_token_can_be(file: TokenFile) -> None:
    """Nothing is made that is good for nothing."""
    wrong: tuple[dict[str, Any], ...] = (
        {"scopes": []},
        {"scopes": ["predic"]},
        {"datasets": []},
        {"days": 0},
        {"days": 1e12},
        {"days": float("inf")},
        {"days": float("nan")},
        {"rate": float("inf")},
    )
    for one in wrong:
        with pytest.raises(InvalidInputError):
            file.add("one", **one)
    assert file.read() == []


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_a_file_that_others_can_write_is_refused(file: TokenFile, mode: int) -> None:
    """By commands and by a server that starts; one that runs keeps what it knows, and says so."""
    secret = file.add("one")
    ask = asking(file)
    ask(secret)
    file.path.chmod(mode)
    with pytest.raises(InvalidInputError, match=f"mode 0{mode:o}"):
        file.read()
    with pytest.raises(InvalidInputError, match="written by others"):
        asking(file)
    forged = digest("forged")
    file.path.write_text(file.path.read_text().replace(digest(secret), forged))
    assert refused(ask, "forged")[0] == 401
    assert ask(secret).name == "one"
    file.path.chmod(0o644)
    assert ask("forged").name == "one"


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb", "taken"])
def test_names_that_are_none(file: TokenFile, name: str) -> None:
    """A name is printable and unique."""
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
    '{"format": "token/2", "tokens": []}',
    # A limit or a right that this version does not know is none that it can hold anybody to.
    '{"format": "token/1", "tokens": [{"name": "x", "sha256": "' + 64 * "0" + '", "hours": [9]}]}',
    '{"format": "token/1", "tokens": [{"name": "x", "sha256": "'
    + 64 * "0"
    + '", "limits": {"trips": 5}}]}',
    '{"format": "token/1", "tokens": [{"name": "x", "sha256": "'
    + 64 * "0"
    + '", "scopes": ["predic"]}]}',
    "\udcff",
    '{"unknown": ' + "[" * 100_000,
)


@pytest.mark.parametrize("text", _BROKEN)
def test_a_file_that_is_none(file: TokenFile, text: str) -> None:
    """A damaged file is named, not taken for an empty one."""
    file.path.parent.mkdir()
    file.path.write_text(text, errors="surrogateescape")
    with pytest.raises(InvalidInputError, match="not a token file"):
        file.read()


@pytest.mark.parametrize("how", ["broken", "unreadable"])
def test_a_file_that_breaks_while_the_server_runs(file: TokenFile, how: str) -> None:
    """Known tokens stay valid, no other is, and the next good file counts."""
    secret = file.add("one")
    ask = asking(file)

    good = file.path.read_bytes()
    file.path.unlink()
    if how == "broken":
        file.path.write_text(_BROKEN[0])
    else:
        file.path.mkdir()
    assert ask(secret).name == "one"
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
    monkeypatch.setattr("model_loop.serving.http.tokens.time.monotonic", lambda: now[0])
    bucket = Bucket(2)
    assert [bucket.take() for _ in range(2)] == [0.0, 0.0]
    assert bucket.take() == pytest.approx(0.5)
    now[0] += 0.5
    assert bucket.take() == 0.0
    assert bucket.take() > 0
    # One that is told how long to wait need not wait longer.
    now[0] += 0.125
    wait = bucket.take()
    assert wait == pytest.approx(0.375)
    now[0] += wait
    assert bucket.take() == 0.0
    now[0] += 100
    assert [bucket.take() > 0 for _ in range(3)] == [False, False, True]
    assert not any(Bucket(0).take() for _ in range(10_000))
    # One that drops in more slowly than once a second is one all the same.
    slow = Bucket(0.5)
    assert [slow.take(), slow.take()] == pytest.approx([0.0, 2.0])


@pytest.mark.parametrize(
    "header", [None, "", "{}", "Basic {}", "Bearer", "Bearer ", "Bearer {}x", "Bearer x{}"]
)
def test_what_bears_no_token_is_refused(file: TokenFile, header: str | None) -> None:
    """Another scheme, none, or a part of a secret: 401, and the remedy names the command."""
    secret = file.add("one")
    bearer = BearerTokens(TokenIndex(file, rate=0, served={"trips", "green"}), refresh_seconds=0)
    sent = [] if header is None else [(b"authorization", header.replace("{}", secret).encode())]
    with pytest.raises(RequestRefusedError, match="model-loop tokens add") as caught:
        asyncio.run(bearer({"type": "http", "headers": sent}))
    assert caught.value.status == 401
    # The scheme is in any letters, and blanks around a secret are none of it.
    right = [(b"authorization", f"bEARER  {secret} ".encode())]
    assert asyncio.run(bearer({"type": "http", "headers": right})).name == "one"


def test_a_token_is_held_to_its_rate(file: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests beyond the rate get 429 with the seconds to wait; other tokens do not."""
    monkeypatch.setattr("time.monotonic", lambda: 50.0)
    eager, other = file.add("eager", rate=4), file.add("other", rate=4)
    ask = asking(file)
    assert {ask(eager).name for _ in range(4)} == {"eager"}
    with pytest.raises(
        RequestRefusedError, match=r"'eager' may ask 4 times.*Wait 0\.250 s"
    ) as told:
        ask(eager)
    assert told.value.status == 429
    assert ask(other).name == "other"


def test_the_end_of_a_token_is_told_in_utc(
    file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the server is."""
    secret = file.add("one", days=1)
    ask, end = asking(file), file.read()[0].expires
    assert end is not None
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        monkeypatch.setattr("time.time", lambda: end)
        told = dt.datetime.fromtimestamp(end, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
        assert told in refused(ask, secret)[1]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_file_is_looked_at_from_time_to_time(
    file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for every request, and read only where it has changed."""
    reads: list[int] = []
    read, now = TokenFile.read, [1_000.0]

    def counted(self: TokenFile) -> Any:
        reads.append(1)
        return read(self)

    file.add("one")
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    known = TokenIndex(file, rate=0, served={"trips", "green"})
    bearer = BearerTokens(known, refresh_seconds=60)

    def status(secret: str) -> int:
        try:
            scope = {"type": "http", "headers": [(b"authorization", f"Bearer {secret}".encode())]}
            asyncio.run(bearer(scope))
        except RequestRefusedError as error:
            return error.status
        return 200

    assert status("td_wrong") == 401
    later = file.add("later")
    monkeypatch.setattr(TokenFile, "read", counted)
    now[0] += 59.9
    assert (status(later), len(reads)) == (401, 0)
    now[0] += 0.1
    assert (status(later), len(reads)) == (200, 1)
    for _ in range(3):
        now[0] += 60
        assert (status(later), len(reads)) == (200, 1)


def test_what_a_token_can_just_be(file: TokenFile) -> None:
    """Bounds are allowed: the longest name, an hour, every right, less than one a second."""
    secret = file.add("n" * 100, 0.5, scopes=RIGHTS, days=1 / 24)
    (token,) = file.read()
    assert (token.name, token.scopes, token.limits.rate) == ("n" * 100, RIGHTS, 0.5)
    assert token.expires == pytest.approx(token.made + 3_600)
    # 32 bytes, of which each character tells six bits.
    assert len(secret) == len("td_") + -(-32 * 8 // 6)
    with pytest.raises(InvalidInputError, match="days"):
        file.add("short", days=1 / 24.5)


def test_refusals_say_what_there_is(file: TokenFile) -> None:
    """Names that can be revoked, rights that can be given, and what stands in the way."""
    with pytest.raises(InvalidInputError, match=r"'no' is unknown\. Choose among: none\."):
        file.revoke("no")
    file.add("one")
    file.add("two")
    with pytest.raises(InvalidInputError, match=r"'no' is unknown\. Choose among: one, two\."):
        file.revoke("no")
    with pytest.raises(InvalidInputError, match=r"'one' exists\. Revoke it first"):
        file.add("one")
    with pytest.raises(InvalidInputError, match=f"among {', '.join(RIGHTS)}, "):
        file.add("three", scopes=[])
