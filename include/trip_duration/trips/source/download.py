"""Months from the web: what a server answers, and what that means for whoever asked.

Requests are tried again with growing pauses, as urllib3 does it: server errors, too many requests,
time-outs and lost connections may pass, everything else is the user's to change. A download that
breaks off is continued where it stopped, in the same call, in a later one, or by another process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from trip_duration.errors import (
    InvalidInputError,
    NotPublishedError,
    SourceError,
    TransientSourceError,
)
from trip_duration.objects.files import is_at

#: How often a request is made before it has failed.
ATTEMPTS = 4
#: Seconds before the second attempt; doubled each time, with some chance in it.
BACKOFF_SECONDS = 0.5

_CHUNK = 1024 * 1024
_PROGRESS_SECONDS = 5.0
_NOT_PUBLISHED = (403, 404)
_TOO_MANY_REQUESTS = 429
_MAY_PASS = (_TOO_MANY_REQUESTS, 500, 502, 503, 504)
_MALFORMED = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)

logger = logging.getLogger(__name__)


def published(url: str, timeout_seconds: float) -> Mapping[str, str]:
    """Ask for a file without fetching it.

    Returns
    -------
    mapping of str to str
        The headers of the answer; their names in any case.

    Raises
    ------
    InvalidInputError
        If *url* is malformed.
    SourceError
        If the server refuses it.
    TransientSourceError
        If the server does not answer within *timeout_seconds*, or fails, several times.
    """
    with _request("HEAD", url, timeout_seconds, {}) as response:
        return response.headers


def download(url: str, target: Path, timeout_seconds: float) -> Mapping[str, str]:
    """Fetch a file, which appears whole or not at all.

    What has arrived of an earlier download is used, if the server still has the same file.

    Returns
    -------
    mapping of str to str
        The headers of the answer; their names in any case.

    Raises
    ------
    InvalidInputError, SourceError, TransientSourceError
        As `published`; also if the download breaks off several times.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f".{target.name}.part"
    with _locked(partial) as file:
        for attempt in range(ATTEMPTS):
            try:
                headers = _continue(url, file, partial.with_suffix(".json"), timeout_seconds)
                break
            except TransientSourceError as error:
                if attempt == ATTEMPTS - 1:
                    raise
                logger.warning("%s", error)
                time.sleep(BACKOFF_SECONDS * 2**attempt)
        file.flush()
        os.fsync(file.fileno())
        partial.rename(target)
        partial.with_suffix(".json").unlink(missing_ok=True)
    return headers


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """A file that only one process writes at a time; others wait.

    Who waited may hold a file that was moved away meanwhile, and opens it anew.
    """
    while True:
        with path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if is_at(file, path):
                yield file
                return


def _continue(url: str, file: IO[bytes], begun: Path, timeout_seconds: float) -> Mapping[str, str]:
    """Fetch what is missing of a file."""
    file.seek(0, os.SEEK_END)
    headers = _conditions(url, file.tell(), begun)
    with _request("GET", url, timeout_seconds, headers) as response:
        if response.status_code != requests.codes.partial_content:
            file.truncate(0)
            begun.write_text(json.dumps({"url": url, "validator": _validator(response.headers)}))
        _save(response, url, file)
        return response.headers


def _conditions(url: str, size: int, begun: Path) -> dict[str, str]:
    """Headers that ask for the rest of a file, if it is still the same."""
    if not size or not begun.exists():
        return {}
    known = json.loads(begun.read_text())
    if known["url"] != url or not known["validator"]:
        return {}
    return {"Range": f"bytes={size}-", "If-Range": known["validator"]}


def _validator(headers: Mapping[str, str]) -> str | None:
    """What tells whether a file is still the same; a weak ETag does not (RFC 9110, 13.1.5)."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _request(
    method: str, url: str, timeout_seconds: float, headers: Mapping[str, str]
) -> requests.Response:
    # Content-Length must count the bytes that we write.
    headers = {"Accept-Encoding": "identity", **headers}
    try:
        response = _session().request(
            method, url, timeout=timeout_seconds, stream=True, headers=headers, allow_redirects=True
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


def _session() -> requests.Session:
    retry = Retry(
        total=ATTEMPTS - 1,
        backoff_factor=BACKOFF_SECONDS,
        backoff_jitter=BACKOFF_SECONDS,
        status_forcelist=_MAY_PASS,
        allowed_methods=("GET", "HEAD"),
        # The answer itself says what was wrong; and it waits as long as Retry-After says.
        raise_on_status=False,
    )
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _save(response: requests.Response, url: str, file: IO[bytes]) -> None:
    start = file.seek(0, os.SEEK_END)
    length = response.headers.get("Content-Length")
    # Not every release of the HTTP client notices that the body ended early.
    expected = None if length is None else start + int(length)
    shown = time.monotonic()
    try:
        # As the bytes arrive: a chunk that is waited for in vain would be lost.
        while chunk := response.raw.read1(_CHUNK):
            file.write(chunk)
            if time.monotonic() - shown > _PROGRESS_SECONDS:
                shown = time.monotonic()
                logger.info("%s: %s", url, _progress(file.tell(), expected))
    except (requests.RequestException, HTTPError) as error:
        raise _interrupted(url, str(error)) from error
    if expected is not None and file.tell() != expected:
        raise _interrupted(url, f"{file.tell()} of {expected} bytes arrived")


def _progress(size: int, expected: int | None) -> str:
    megabytes = f"{size / 1e6:,.1f} MB"
    if expected is None:
        return megabytes
    return f"{size / expected:.0%}, {megabytes} of {expected / 1e6:,.1f} MB"


def _refused(url: str, status: int) -> SourceError:
    if status in _NOT_PUBLISHED:
        return NotPublishedError(
            url,
            f"is not published (HTTP {status})",
            "Choose an earlier month, or check the service and the address.",
        )
    if status == _TOO_MANY_REQUESTS or status >= requests.codes.server_error:
        return TransientSourceError(url, f"failed with HTTP {status}", "Try again later.")
    return SourceError(url, f"was refused with HTTP {status}", "Check the address.")


def _interrupted(url: str, how: str) -> TransientSourceError:
    return TransientSourceError(url, f"broke off while it was downloaded ({how})", "Try again.")
