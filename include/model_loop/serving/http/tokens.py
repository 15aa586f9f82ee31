"""Bearer tokens: named, revocable, kept as hashes, each with its rights, its end and its limits.

A token is 32 random bytes, so its plain SHA-256 reveals nothing about it: slow hashes are for
passwords that people choose.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from model_loop.days import SECONDS_PER_DAY
from model_loop.errors import InvalidInputError, require_within

#: Rights of a token: predictions, true values, looking (log, models, metrics,
#: reports, description), and everything.
Right = Literal["predict", "feedback", "read", "admin"]
RIGHTS: tuple[Right, ...] = get_args(Right)
#: Default limits of a token.
USUAL_RIGHTS: tuple[Right, ...] = ("predict", "feedback", "read")

_NAME_LENGTH = 100
_PREFIX = "td_"
#: A hundred years; calendars end at the year 9999.
_MOST_DAYS = 36_500
_LAST_SECOND = 253_402_300_799
_MOST_PER_SECOND = 1_000_000
#: Others may read hashes, but a user who can write them can make tokens.
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH

Positive = Annotated[float, Meta(ge=0)]
Timestamp = Annotated[float, Meta(ge=0, le=_LAST_SECOND)]


class TokenLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of a token.

    Parameters
    ----------
    rate
        Requests per second, of which as many may come at once; 0 sets no limit, None takes that of
        the settings.
    """

    rate: Positive | None = None


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A caller's right to ask.

    Parameters
    ----------
    name
        Name of the application or person; it is written into the request log.
    sha256
        Digest of the secret, hex.
    scopes
        Rights of the token.
    datasets
        Names of the datasets and keys of the variants that it may ask; None for all.
    expires
        Seconds since 1970 from which it is good for nothing; None for no end.
    limits
        Limits of its requests.
    made
        Seconds since 1970.
    """

    name: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    scopes: tuple[Right, ...] = USUAL_RIGHTS
    datasets: tuple[str, ...] | None = None
    expires: Timestamp | None = None
    limits: TokenLimits = TokenLimits()
    made: float = msgspec.field(default_factory=time.time)


class _Format(msgspec.Struct):
    format: str | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal["token/1"]
    tokens: list[Token]


class _OldToken(msgspec.Struct):
    """A token as version 0.1 has written it, without a format."""

    name: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    rate: Positive | None = None
    made: float = 0.0

    def today(self) -> Token:
        """Read it as of today: it was good for all that there was."""
        return Token(self.name, self.sha256, limits=TokenLimits(self.rate), made=self.made)


class _OldFile(msgspec.Struct, forbid_unknown_fields=True):
    tokens: list[_OldToken]


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
            If the file is not a token file, or may not be read.
        """
        try:
            with self.path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                content = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InvalidInputError(
                f"The file {self.path}",
                f"cannot be read ({error.strerror})",
                "Let the user of the server own it.",
            ) from error
        if mode & _WRITABLE_BY_OTHERS:
            raise InvalidInputError(
                f"The file {self.path}",
                f"can be written by others (mode {mode:04o}), who could make tokens with it",
                "Look at `model-loop tokens list` after `chmod 600`, and revoke what you do not "
                "know.",
            )
        try:
            return _read(content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInputError(
                f"The file {self.path}",
                f"is not a token file ({error})",
                "Remove it, and make tokens with `model-loop tokens add`.",
            ) from error

    def add(
        self,
        name: str,
        rate: float | None = None,
        *,
        scopes: Sequence[Right] = USUAL_RIGHTS,
        datasets: Sequence[str] | None = None,
        days: float | None = None,
    ) -> str:
        """Make a token and return its secret, which nothing can show again.

        Parameters
        ----------
        rate, scopes, datasets
            See `Token`.
        days
            Days until it expires; None for no end.

        Raises
        ------
        InvalidInputError
            If the name is taken or none, the rate is negative, the time is up at once, or the token
            would be good for nothing.
        """
        if not name.strip() or len(name) > _NAME_LENGTH or not name.isprintable():
            raise InvalidInputError(
                f"Token name {name!r}",
                "is not a valid name",
                f"Give up to {_NAME_LENGTH} characters.",
            )
        if rate is not None:
            require_within("rate", rate, least=0, most=_MOST_PER_SECOND)
        if days is not None:
            require_within("days", days, least=1 / 24, most=_MOST_DAYS)
        nothing = not scopes or (datasets is not None and not datasets)
        if nothing or not {*scopes} <= {*RIGHTS}:
            raise InvalidInputError(
                f"Token {name!r}",
                f"needs scopes among {', '.join(RIGHTS)}, and a dataset if any is named",
                "Give at least one, such as --scopes predict.",
            )
        secret, now = _PREFIX + secrets.token_urlsafe(32), time.time()
        made = Token(
            name,
            digest(secret),
            tuple(dict.fromkeys(scopes)),
            None if datasets is None else tuple(dict.fromkeys(datasets)),
            None if days is None else now + days * SECONDS_PER_DAY,
            TokenLimits(rate),
            now,
        )
        with self._alone():
            known = self.read()
            if name in {token.name for token in known}:
                raise InvalidInputError(
                    f"Token {name!r}", "exists", "Revoke it first, or choose another name."
                )
            self._write([*known, made])
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
        content = msgspec.json.format(msgspec.json.encode(_File("token/1", tokens)), indent=1)
        opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(opened, "wb") as out:
                out.write(content)
            partial.rename(self.path)
        finally:
            partial.unlink(missing_ok=True)


def _read(content: bytes) -> list[Token]:
    """Read a file of tokens, of today or without a format.

    Raises
    ------
    msgspec.MsgspecError, UnicodeDecodeError
        If it is none.
    """
    if msgspec.json.decode(content, type=_Format).format is None:
        return [one.today() for one in msgspec.json.decode(content, type=_OldFile).tokens]
    return msgspec.json.decode(content, type=_File).tokens


def digest(secret: str) -> str:
    """Return the digest of a secret that is stored in its place."""
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


class Caller(NamedTuple):
    """The sender of a request, as far as it is known.

    Parameters
    ----------
    name
        Name of the token or user.
    scopes
        Rights of the token; None where something else decides.
    datasets
        Names of the datasets and keys of the variants that it may ask; None for all.
    """

    name: str
    scopes: frozenset[str] | None = None
    datasets: frozenset[str] | None = None


class Grant(NamedTuple):
    """A known token, as requests are held to it.

    Parameters
    ----------
    caller
        Name of the token, and all that it is good for.
    expires
        Seconds since 1970; infinity for no end.
    bucket
        Holds it to its rate.
    here
        Whether it may ask anything of this server.
    """

    caller: Caller
    expires: float
    bucket: Bucket
    here: bool


class TokenIndex:
    """Tokens in memory, looked up for every request.

    Parameters
    ----------
    file
        File of the tokens.
    rate
        Requests per second of tokens without a rate of their own.
    served
        Names of datasets and keys of variants that are served: tokens have to be valid for one.
    """

    def __init__(self, file: TokenFile, rate: float, served: Collection[str]) -> None:
        self._file = file
        self._rate = rate
        self._served = frozenset(served)
        self._read_at: tuple[int, int, int] | None = None
        self._known: tuple[tuple[bytes, Grant], ...] = ()
        self.refresh()

    def refresh(self) -> None:
        """Read the file again if it has changed; buckets of tokens that stay keep their level."""
        try:
            found = self._file.path.stat()
            state = (found.st_mtime_ns, found.st_ino, found.st_mode)
        except FileNotFoundError:
            state = None
        if state == self._read_at and state is not None:
            return
        before = {grant.caller.name: grant.bucket for _, grant in self._known}
        known = []
        for token in self._file.read():
            rate = self._rate if token.limits.rate is None else token.limits.rate
            kept = before.get(token.name)
            bucket = kept if kept and kept.rate == rate else Bucket(rate)
            known.append((bytes.fromhex(token.sha256), self._grant(token, bucket)))
        self._known, self._read_at = tuple(known), state

    def _grant(self, token: Token, bucket: Bucket) -> Grant:
        datasets = None if token.datasets is None else frozenset(token.datasets)
        scopes = frozenset(RIGHTS if "admin" in token.scopes else token.scopes)
        return Grant(
            Caller(token.name, scopes, datasets),
            float("inf") if token.expires is None else token.expires,
            bucket,
            datasets is None or not datasets.isdisjoint(self._served),
        )

    def find(self, secret: bytes) -> Grant | None:
        """Find the token of a secret; None if it is nobody's.

        Every token is compared, each in constant time.
        """
        asked = hashlib.sha256(secret).digest()
        found = None
        for known, grant in self._known:
            if hmac.compare_digest(known, asked):
                found = grant
        return found
