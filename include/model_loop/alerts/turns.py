"""Who may send, and when: one at a time, with pauses that grow while many things fail.

The first message goes at once. The next may go five seconds after it, then ten, twenty, … up to the
window; after a quiet window all begins anew. So somebody who tries again by hand is told at once,
and a storm becomes a few messages. Each turn is a file that only one can make, so that it needs no
lock and works on object stores too.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import time
from dataclasses import dataclass

from upath import UPath

from model_loop.objects import write_bytes
from model_loop.objects.documents import read_document, record_of, text_of
from model_loop.objects.files import create_file, files_in

#: The first pause.
FIRST_PAUSE_SECONDS = 5.0

#: A turn that has not ended by then is taken for dead.
LEASE_SECONDS = 120.0

_POLL_SECONDS = 0.2
_KEPT = 50


@dataclass(frozen=True)
class Turn:
    """A right to send.

    Parameters
    ----------
    number
        Counts up.
    opens
        When its holder looks what there is to send; until then it gathers.
    ended
        When its holder had sent; None before.
    sent
        How many alerts were delivered.
    """

    number: int
    opens: dt.datetime
    ended: dt.datetime | None = None
    sent: int = 0

    def in_progress(self, now: dt.datetime) -> bool:
        """Whether its holder is still at it."""
        return self.ended is None and now < self.opens + dt.timedelta(seconds=LEASE_SECONDS)


class Turns:
    """The turns of one outbox.

    Parameters
    ----------
    folder
        Where they are kept.
    window_seconds
        The longest pause; 0 makes none.
    """

    def __init__(self, folder: UPath, window_seconds: float) -> None:
        self.folder = folder
        self.window = dt.timedelta(seconds=window_seconds)

    def take(self, *, patience_seconds: float, at_once: bool = False) -> Turn | None:
        """Take the next turn, when it has opened.

        Parameters
        ----------
        patience_seconds
            How long to wait for it; what has to wait longer is left to somebody later.
        at_once
            Whether to make no pause.

        Returns
        -------
        Turn or None
            None if it is too early, or another gathers what there is.
        """
        give_up = _now() + dt.timedelta(seconds=patience_seconds)
        while True:
            now, turns = _now(), self._turns()
            last = turns[-1] if turns else None
            if last and last.in_progress(now) and not self._is_astray(last, now):
                # Who gathers finds what we have put there; who sends may have missed it.
                if (now < last.opens and not at_once) or now > give_up:
                    return None
                time.sleep(_POLL_SECONDS)
                continue
            opens = now if at_once else max(now, self._due(turns, now))
            if opens > max(now, give_up):
                return None
            turn = Turn(last.number + 1 if last else 1, opens)
            if self._claim(turn):
                time.sleep(max(0.0, (opens - _now()).total_seconds()))
                return turn

    def end(self, turn: Turn, sent: int) -> None:
        """Let the next one have its turn."""
        ended = dataclasses.replace(turn, ended=_now(), sent=sent)
        write_bytes(self._path(turn.number), _json(ended))
        for path in self._paths()[:-_KEPT]:
            path.unlink(missing_ok=True)

    def _is_astray(self, turn: Turn, now: dt.datetime) -> bool:
        """Whether a turn opens later than any can: the clock that it was taken by ran ahead."""
        return turn.opens - now > self.window + dt.timedelta(seconds=LEASE_SECONDS)

    def _due(self, turns: list[Turn], now: dt.datetime) -> dt.datetime:
        """When the next message may go."""
        told = [turn.ended for turn in turns if turn.ended and turn.sent]
        # An end that lies far ahead is of a clock that ran ahead, and holds nobody up.
        ahead = -dt.timedelta(seconds=LEASE_SECONDS)
        recent = [ended for ended in told if ahead < now - ended < self.window]
        if not recent:
            return now
        pause = dt.timedelta(seconds=FIRST_PAUSE_SECONDS * 2.0 ** (len(recent) - 1))
        return recent[-1] + min(pause, self.window)

    def _claim(self, turn: Turn) -> bool:
        try:
            create_file(self._path(turn.number), _json(turn))
        except FileExistsError:
            return False
        # Whoever has slept since it looked may have made a turn that is long past and removed.
        return self._paths()[-1].name == self._path(turn.number).name

    def _turns(self) -> list[Turn]:
        found = []
        for path in self._paths():
            turn = read_document(path, functools.partial(_turn, name=path.name))
            if turn is not None:
                found.append(turn)
        return found

    def _paths(self) -> list[UPath]:
        return files_in(self.folder, "*.json")

    def _path(self, number: int) -> UPath:
        return self.folder / _name(number)


def _name(number: int) -> str:
    return f"{number:012d}.json"


def _turn(stored: object, name: str) -> Turn:
    turn = record_of(Turn, stored)
    moments = (turn.opens, turn.ended or turn.opens)
    if name != _name(turn.number) or any(moment.tzinfo is None for moment in moments):
        raise ValueError(f"it holds turn {turn.number}, or a time without a zone")
    return turn


def _json(turn: Turn) -> bytes:
    return text_of(turn).encode()


def _now() -> dt.datetime:
    return dt.datetime.now(tz=dt.UTC)
