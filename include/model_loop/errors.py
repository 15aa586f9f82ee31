"""The errors that a user can do something about.

Each one says what was given, which rule it breaks, and what to do: the command line prints the
three and exits with code 2, a task writes them into its log and fails without a retry.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import NotRequired, TypedDict, TypeVar

from model_loop.masking import mask_logins

logger = logging.getLogger(__name__)

Option = TypeVar("Option")

#: Characters of a part of an error; a request may hold megabytes.
_LONGEST_PART = 4_000


def _shown(part: str) -> str:
    """Return a part of an error as it may be seen: without logins, and not longer than a page."""
    # Half of a pair of surrogates, as in names of files, is a character that no log takes.
    part = part.encode("utf-8", "backslashreplace").decode("utf-8")
    # Twice as much is masked, so that no login is cut in two where the text ends.
    masked = mask_logins(part[: 2 * _LONGEST_PART])
    if len(masked) <= _LONGEST_PART:
        return masked
    return f"{masked[:_LONGEST_PART]}… ({len(part)} characters in all)"


class ErrorFields(TypedDict):
    """An error as JSON."""

    given: str
    rule: str
    remedy: str
    #: Each problem of a request that has several, in the same form.
    problems: NotRequired[list[ErrorFields]]


class ModelLoopError(Exception):
    """Something was wrong with what the user asked for or handed over.

    Parameters
    ----------
    given
        The wrong input, as the user knows it: a parameter with its value, a path, a URL.
    rule
        The rule that it breaks, as a clause that continues *given*.
    remedy
        The remedy, as a sentence.
    """

    def __init__(self, given: str, rule: str, remedy: str) -> None:
        # Errors quote addresses, and go into logs, mails, answers and tags.
        self.given, self.rule, self.remedy = map(_shown, (given, rule, remedy))
        super().__init__(self.given, self.rule, self.remedy)

    def __str__(self) -> str:
        return f"{self.given} {self.rule}. {self.remedy}"

    def fields(self) -> ErrorFields:
        """Return its parts as JSON, for answers."""
        return {"given": self.given, "rule": self.rule, "remedy": self.remedy}


class InvalidInputError(ModelLoopError, ValueError):
    """A parameter is unknown, malformed or out of bounds."""


class SourceError(ModelLoopError):
    """A partition cannot be had from its source."""


class NotPublishedError(SourceError):
    """A partition is not published, or not yet."""


class TransientSourceError(SourceError):
    """A partition cannot be read now; the same request may succeed later (errors, timeouts)."""


class ContractError(ModelLoopError):
    """A partition was fetched, but what is in it cannot be used."""


class ReportedError(ModelLoopError):
    """Something failed elsewhere, and was reported there."""


class StoredObjectError(ModelLoopError):
    """A stored object is missing, was altered, or cannot be stored."""


class DeliveryError(ModelLoopError):
    """A message cannot be delivered now; it waits."""


def look_up(noun: str, name: str, options: Mapping[str, Option]) -> Option:
    """Return the option of a name.

    Parameters
    ----------
    noun
        Kind of option, for the error.

    Raises
    ------
    InvalidInputError
        If no option has the name.
    """
    if name not in options:
        raise InvalidInputError(
            f"{noun} {name!r}", "is unknown", f"Choose one of: {', '.join(options)}."
        )
    return options[name]


def require_within(
    name: str,
    value: float,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
) -> None:
    """Check a number's bounds.

    Raises
    ------
    InvalidInputError
        If *value* is less than *least*, more than *most*, or not more than *above*.
    """
    for wrong, bound in (
        # Written so that NaN, which compares with nothing, is out of bounds.
        (least is not None and not value >= least, f"{least} or more"),
        (most is not None and not value <= most, f"{most} or less"),
        (above is not None and not value > above, f"more than {above}"),
    ):
        if wrong:
            raise InvalidInputError(f"{name} = {value}", "is out of bounds", f"Give {bound}.")


class WorkerError(Exception):
    """A lookup failed in a worker process, with the error's type and text there, or was lost.

    Its traceback is in the log of that process.
    """


@contextlib.contextmanager
def optional(artefact: str) -> Iterator[None]:
    """Go on without an artefact that nothing depends on, such as a figure, if making it fails.

    Parameters
    ----------
    artefact
        Its name, for the log, which holds the failure.
    """
    try:
        yield
    except Exception:
        logger.exception("%s could not be made and is left out; all else goes on", artefact)
