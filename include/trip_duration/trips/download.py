"""Months from the web: what a server answers, and what that means for whoever asked."""

from __future__ import annotations

from collections.abc import Mapping

import requests
from upath import UPath

from trip_duration.errors import InvalidInputError, SourceError, TransientSourceError
from trip_duration.objects.files import whole_file

_CHUNK = 1024 * 1024
_NOT_PUBLISHED = (403, 404)
_TOO_MANY_REQUESTS = 429
_MALFORMED = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)


def check_published(url: str, timeout_seconds: float) -> None:
    """Ask for a file without fetching it.

    Raises
    ------
    InvalidInputError
        If *url* is malformed.
    SourceError
        If the server refuses it.
    TransientSourceError
        If the server does not answer within *timeout_seconds*, or fails.
    """
    _request("HEAD", url, timeout_seconds).close()


def download(url: str, target: UPath, timeout_seconds: float) -> Mapping[str, str]:
    """Fetch a file, which appears whole or not at all.

    Returns
    -------
    mapping of str to str
        The headers of the answer; their names in any case.

    Raises
    ------
    InvalidInputError, SourceError, TransientSourceError
        As `check_published`; also if the download breaks off.
    """
    with _request("GET", url, timeout_seconds) as response, whole_file(target) as partial:
        _save(response, url, partial)
        return response.headers


def _request(method: str, url: str, timeout_seconds: float) -> requests.Response:
    # Content-Length must count the bytes that we write.
    headers = {"Accept-Encoding": "identity"}
    try:
        response = requests.request(
            method, url, timeout=timeout_seconds, stream=True, headers=headers
        )
    except _MALFORMED as error:
        raise InvalidInputError(
            f"Source {url}", f"is no address ({error})", "Give an https:// address."
        ) from error
    except requests.RequestException as error:
        raise TransientSourceError(
            url, f"did not answer ({error})", "Check the address and the network; try again."
        ) from error
    if not response.ok:
        response.close()
        raise _refused(url, response.status_code)
    return response


def _save(response: requests.Response, url: str, target: UPath) -> None:
    written = 0
    try:
        with target.open("wb") as file:
            for chunk in response.iter_content(_CHUNK):
                written += file.write(chunk)
    except requests.RequestException as error:
        raise _interrupted(url, str(error)) from error
    # Not every release of the HTTP client notices that the body ended early.
    expected = response.headers.get("Content-Length")
    if expected is not None and written != int(expected):
        raise _interrupted(url, f"{written} of {expected} bytes arrived")


def _refused(url: str, status: int) -> SourceError:
    if status in _NOT_PUBLISHED:
        return SourceError(
            url,
            f"is not published (HTTP {status})",
            "Choose an earlier month, or check the service and the address.",
        )
    if status == _TOO_MANY_REQUESTS or status >= requests.codes.server_error:
        return TransientSourceError(url, f"failed with HTTP {status}", "Try again later.")
    return SourceError(url, f"was refused with HTTP {status}", "Check the address.")


def _interrupted(url: str, how: str) -> TransientSourceError:
    return TransientSourceError(url, f"broke off while it was downloaded ({how})", "Try again.")
