"""Files from the web: what a server answers, and what that means for the one who asked.

Requests are tried again with growing pauses, as urllib3 does it: server errors, too many requests,
time-outs and lost connections may pass, everything else is the user's to change. A download that
breaks off is continued where it stopped, in the same call, in a later one, or by another process.
Answers are compared with the request (`answers`) before a byte of them is kept.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from model_loop.errors import InvalidInputError, SourceError, TransientSourceError
from model_loop.objects.files import is_at
from model_loop.sources.answers import (
    Begun,
    is_all_of_it,
    is_packed,
    may_pass,
    refused,
    require_the_rest,
    validator_of,
)
from model_loop.sources.cache import content_length

#: Attempts of a request before it has failed.
ATTEMPTS = 4
#: Seconds before the second attempt; doubled each time, with some chance in it.
BACKOFF_SECONDS = 0.5

_CHUNK = 1024 * 1024
_PROGRESS_SECONDS = 5.0
_MAY_PASS = (429, 500, 502, 503, 504)
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
    with _ask("HEAD", url, timeout_seconds, {}) as response:
        if response.ok:
            return response.headers
        if response.status_code != requests.codes.not_implemented and may_pass(response):
            raise refused(url, response)
    # Signed addresses, and servers that know GET alone, refuse HEAD in many ways: with 403, 404,
    # 405, 406 or 501. The file itself is not read here.
    with _request("GET", url, timeout_seconds, {}) as response:
        return response.headers


def download(
    url: str, target: Path, timeout_seconds: float, require_readable: Callable[[Path, str], None]
) -> Mapping[str, str]:
    """Fetch a file, which appears whole or not at all.

    The part that an earlier download has left is used, if the server still has the same file.

    Parameters
    ----------
    require_readable
        Raises an error for a file that is not what it should be; such a one is not kept.

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
    begun = partial.with_suffix(".json")
    with _locked(partial) as file:
        headers = _fetched(url, file, begun, timeout_seconds)
        file.flush()
        os.fsync(file.fileno())
        try:
            require_readable(partial, url)
        except SourceError:
            _forget(file, begun)
            partial.unlink()
            raise
        partial.rename(target)
        begun.unlink(missing_ok=True)
    return headers


def _fetched(url: str, file: IO[bytes], begun: Path, timeout_seconds: float) -> Mapping[str, str]:
    """Fetch what is missing of a file, in several attempts."""
    for attempt in range(ATTEMPTS):
        try:
            return _continue(url, file, begun, timeout_seconds)
        except TransientSourceError as error:
            if attempt == ATTEMPTS - 1:
                raise
            logger.warning("%s", error)
            time.sleep(BACKOFF_SECONDS * 2**attempt)
    raise AssertionError


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """A file that only one process writes at a time; others wait.

    A waiting process may hold a file that was moved away meanwhile, and opens it anew.
    """
    while True:
        with path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if is_at(file, path):
                yield file
                return


def _continue(url: str, file: IO[bytes], begun: Path, timeout_seconds: float) -> Mapping[str, str]:
    """Fetch what is missing of a file."""
    size = file.seek(0, os.SEEK_END)
    known = Begun.read(begun, url) if size else None
    if known is None or (known.size is not None and size > known.size):
        _forget(file, begun)
        size, known = 0, None
    if known is not None and size == known.size:
        # It was complete: killed before it got its name. It is taken if it still is the file.
        headers = published(url, timeout_seconds)
        if validator_of(headers) == known.validator and content_length(headers) == size:
            return headers
        _forget(file, begun)
        size, known = 0, None
    asked = {} if known is None else {"Range": f"bytes={size}-", "If-Range": known.validator}
    with _ask("GET", url, timeout_seconds, asked) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            _forget(file, begun)
            raise _interrupted(url, f"the server has no byte {size}")
        if not response.ok:
            raise refused(url, response)
        return _taken(response, url, file, begun, size)


def _taken(
    response: requests.Response, url: str, file: IO[bytes], begun: Path, size: int
) -> Mapping[str, str]:
    """Write what a server has sent, if it is what was asked for."""
    part = response.status_code == requests.codes.partial_content
    if part and not (size == 0 and is_all_of_it(response.headers)):
        try:
            whole = require_the_rest(response.headers, url, size, Begun.read(begun, url))
        except TransientSourceError:
            # The next attempt asks for all of it.
            _forget(file, begun)
            raise
        _save(response, url, file)
        headers = CaseInsensitiveDict(response.headers)
        headers["Content-Length"] = str(whole)
        return headers
    _forget(file, begun)
    if not is_packed(response, url):
        Begun.of(url, response.headers).write(begun)
    _save(response, url, file)
    return response.headers


def _forget(file: IO[bytes], begun: Path) -> None:
    """Remove the part of a file that was downloaded."""
    file.truncate(0)
    begun.unlink(missing_ok=True)


def _request(
    method: str, url: str, timeout_seconds: float, headers: Mapping[str, str]
) -> requests.Response:
    """Return an answer that is no refusal."""
    response = _ask(method, url, timeout_seconds, headers)
    if not response.ok:
        response.close()
        raise refused(url, response)
    return response


def _ask(
    method: str, url: str, timeout_seconds: float, headers: Mapping[str, str]
) -> requests.Response:
    """Return an answer, whatever it is."""
    # Content-Length must count the bytes that we write.
    headers = {"Accept-Encoding": "identity", **headers}
    try:
        return _session().request(
            method, url, timeout=timeout_seconds, stream=True, headers=headers, allow_redirects=True
        )
    except _MALFORMED as error:
        raise InvalidInputError(
            f"Source {url}", f"is not an address ({error})", "Give an https:// address."
        ) from error
    except requests.exceptions.SSLError as error:
        raise SourceError(
            url,
            f"shows a certificate that is not trusted ({error})",
            "If an authority of your own has signed it, name the file of its certificate in "
            "REQUESTS_CA_BUNDLE, in the environment of every process of Airflow.",
        ) from error
    except requests.RequestException as error:
        raise TransientSourceError(
            url, f"did not answer ({error})", "Check the address and the network; try again."
        ) from error


class _Retry(Retry):
    """Servers limit requests with 403 as well; they say so by the time to wait."""

    RETRY_AFTER_STATUS_CODES = Retry.RETRY_AFTER_STATUS_CODES | {403}


def _session() -> requests.Session:
    retry = _Retry(
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
    packed = is_packed(response, url)
    # Not every release of the HTTP client notices that the body ended early.
    sent = content_length(response.headers)
    # The length of what is packed is not that of the file.
    expected = None if sent is None or packed else start + sent
    shown = time.monotonic()
    try:
        # Write bytes as they arrive: a chunk that is waited for in vain would be lost.
        while chunk := response.raw.read1(_CHUNK, decode_content=packed):
            file.write(chunk)
            if time.monotonic() - shown > _PROGRESS_SECONDS:
                shown = time.monotonic()
                logger.info("%s: %s", url, _progress(file.tell(), expected))
    except (requests.RequestException, HTTPError) as error:
        raise _interrupted(url, str(error)) from error
    arrived = response.raw.tell() if packed else file.tell() - start
    if sent is not None and arrived != sent:
        raise _interrupted(url, f"{arrived} of {sent} bytes arrived")


def _progress(size: int, expected: int | None) -> str:
    megabytes = f"{size / 1e6:,.1f} MB"
    if expected is None:
        return megabytes
    return f"{size / expected:.0%}, {megabytes} of {expected / 1e6:,.1f} MB"


def _interrupted(url: str, how: str) -> TransientSourceError:
    return TransientSourceError(url, f"broke off while it was downloaded ({how})", "Try again.")
