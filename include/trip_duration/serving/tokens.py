"""Bearer tokens: named, revocable, kept as hashes, each with a rate.

A token is 32 random bytes, so that its plain SHA-256 tells nothing about it: slow hashes are for
passwords that people choose.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from trip_duration.errors import InvalidInputError, require_within

_NAME_LENGTH = 100
_PREFIX = "td_"


@dataclass(frozen=True)
class Token:
    """Who may ask.

    Parameters
    ----------
    name
        Of the application or person; it stands in the request log.
    sha256
        Digest of the secret, hex.
    rate
        Requests per second, of which as many may come at once; 0 sets no limit, None takes that of
        the settings.
    made
        Seconds since 1970.
    """

    name: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    rate: Annotated[float, Meta(ge=0)] | None = None
    made: float = field(default_factory=time.time)


_read = msgspec.json.Decoder(dict[str, list[Token]]).decode


class TokenFile:
    """Tokens in a JSON file that only its owner may read.

    Parameters
    ----------
    path
        The file; without one there is no token.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Token]:
        """All tokens, in the order in which they were made.

        Raises
        ------
        InvalidInputError
            If the file is no file of tokens, or may not be read.
        """
        try:
            return _read(self.path.read_bytes())["tokens"]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InvalidInputError(
                f"The file {self.path}",
                f"cannot be read ({error.strerror})",
                "Let the user of the server own it.",
            ) from error
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError) as error:
            raise InvalidInputError(
                f"The file {self.path}",
                f"is no file of tokens ({error})",
                "Remove it, and make tokens with `trip-duration tokens add`.",
            ) from error

    def add(self, name: str, rate: float | None = None) -> str:
        """Make a token and return its secret, which nothing can show again.

        Raises
        ------
        InvalidInputError
            If the name is taken or none, or the rate is negative.
        """
        if not name.strip() or len(name) > _NAME_LENGTH or not name.isprintable():
            raise InvalidInputError(
                f"Token name {name!r}", "is no name", f"Give up to {_NAME_LENGTH} characters."
            )
        if rate is not None:
            require_within("rate", rate, least=0)
        secret = _PREFIX + secrets.token_urlsafe(32)
        with self._alone():
            known = self.read()
            if name in {token.name for token in known}:
                raise InvalidInputError(
                    f"Token {name!r}", "exists", "Revoke it first, or choose another name."
                )
            self._write([*known, Token(name, digest(secret), rate)])
        return secret

    def revoke(self, name: str) -> None:
        """Take a token back; servers notice within their refresh.

        Raises
        ------
        InvalidInputError
            If there is no such token.
        """
        with self._alone():
            known = self.read()
            kept = [token for token in known if token.name != name]
            if len(kept) == len(known):
                raise InvalidInputError(
                    f"Token {name!r}",
                    "is unknown",
                    f"Choose among: {', '.join(token.name for token in known) or 'none'}.",
                )
            self._write(kept)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one command at a time change the file, or one would undo what another has revoked.

        Raises
        ------
        InvalidInputError
            If the file cannot be written.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise InvalidInputError(
                f"The file {self.path}",
                f"cannot be written ({error.strerror}); no token has changed",
                "Make room on its disk, or let the user who runs the command write its folder.",
            ) from error

    def _write(self, tokens: list[Token]) -> None:
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        content = json.dumps({"tokens": [asdict(token) for token in tokens]}, indent=1)
        opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(opened, "w") as out:
                out.write(content)
            partial.rename(self.path)
        finally:
            partial.unlink(missing_ok=True)


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Bucket:
    """Tokens of the other kind: one drops in at a rate, and each request takes one.

    Parameters
    ----------
    rate
        Requests per second, and how many may come at once (at least one); 0 sets no limit.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._most = max(rate, 1.0)
        self._left = self._most
        self._at = time.monotonic()

    def take(self) -> float:
        """Take one; 0 if there was one, else the seconds until there is."""
        if not self.rate:
            return 0.0
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self.rate)
        self._at = now
        if self._left >= 1.0:
            self._left -= 1.0
            return 0.0
        return (1.0 - self._left) / self.rate


class KnownTokens:
    """Tokens in memory, looked up for every request.

    Parameters
    ----------
    file
        Where they are kept.
    rate
        Requests per second of tokens without a rate of their own.
    """

    def __init__(self, file: TokenFile, rate: float) -> None:
        self._file = file
        self._rate = rate
        self._read_at: tuple[int, int] | None = None
        self._known: tuple[tuple[bytes, str, Bucket], ...] = ()
        self.refresh()

    def refresh(self) -> None:
        """Read the file again if it has changed; buckets of tokens that stay keep their level."""
        try:
            found = self._file.path.stat()
            state = (found.st_mtime_ns, found.st_ino)
        except FileNotFoundError:
            state = None
        if state == self._read_at and state is not None:
            return
        before = {name: bucket for _, name, bucket in self._known}
        known = []
        for token in self._file.read():
            rate = self._rate if token.rate is None else token.rate
            kept = before.get(token.name)
            bucket = kept if kept and kept.rate == rate else Bucket(rate)
            known.append((token.sha256.encode(), token.name, bucket))
        self._known, self._read_at = tuple(known), state

    def find(self, secret: bytes) -> tuple[str, Bucket] | None:
        """Name and bucket of a secret; None if it is nobody's.

        Every token is compared, each in constant time.
        """
        asked = hashlib.sha256(secret).hexdigest().encode()
        found = None
        for known, name, bucket in self._known:
            if hmac.compare_digest(known, asked):
                found = (name, bucket)
        return found
