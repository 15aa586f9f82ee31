"""Errors of the client: the server's input, rule and remedy, in a class for each kind of status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from model_loop.errors import ErrorFields, ModelLoopError

_SERVER_ERRORS = 500


class ClientError(ModelLoopError):
    """A request failed.

    Parameters
    ----------
    status
        HTTP status of the answer; None where there was none.
    problems
        Each problem of a request that has several.
    """

    def __init__(
        self,
        given: str,
        rule: str,
        remedy: str,
        *,
        status: int | None = None,
        problems: Sequence[ErrorFields] = (),
    ) -> None:
        super().__init__(given, rule, remedy)
        self.status = status
        self.problems = tuple(problems)


class RefusedInputError(ClientError):
    """The input breaks a rule (400, 413, 415, 422), and would break it again."""


class UnauthorizedRequestError(ClientError):
    """The token is missing, unknown or has expired (401)."""


class ForbiddenRequestError(ClientError):
    """The token has no right to this (403)."""


class NothingThereError(ClientError):
    """Nothing has this address or id, or it belongs to another token (404)."""


class ConflictingRequestError(ClientError):
    """It is not in a state in which this can be done, or the key was used already (409)."""


class ThrottledRequestError(ClientError):
    """The token asks too often, or for too much at once (429)."""


class ServerFailedError(ClientError):
    """The server cannot answer at the moment (5xx), or answers with something else."""


class UnreachableServerError(ClientError):
    """The server was not reached, or the connection ended before an answer."""


class ClientTimeoutError(ClientError):
    """Something that was waited for has not happened in time."""


class BatchFailedError(ClientError):
    """A batch has failed or was cancelled."""


_KINDS: Mapping[int, type[ClientError]] = MappingProxyType(
    {
        **dict.fromkeys((400, 408, 413, 415, 422, 431), RefusedInputError),
        401: UnauthorizedRequestError,
        403: ForbiddenRequestError,
        404: NothingThereError,
        409: ConflictingRequestError,
        429: ThrottledRequestError,
    }
)


def error_of(status: int, answer: object, where: str) -> ClientError:
    """Return the error of an answer.

    Parameters
    ----------
    answer
        Its body as JSON; None where it is not JSON.
    where
        Method and address, for an answer that says nothing.
    """
    told: Any = answer.get("error") if isinstance(answer, dict) else None
    kind = _KINDS.get(status, ServerFailedError if status >= _SERVER_ERRORS else ClientError)
    if not isinstance(told, dict) or not {"given", "rule", "remedy"} <= told.keys():
        return kind(
            where,
            f"was answered with status {status}, and not by a prediction server",
            "Check the address: a proxy may stand before the server.",
            status=status,
        )
    parts = (str(told[name]) for name in ("given", "rule", "remedy"))
    return kind(*parts, status=status, problems=told.get("problems", ()))
