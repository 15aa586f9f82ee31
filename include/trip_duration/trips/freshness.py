"""Whether a month is still what its source publishes."""

from __future__ import annotations

import hashlib

import requests
from upath import UPath

from trip_duration.trips.source import RawMonth

_CHUNK = 1024 * 1024


def is_unchanged(raw: RawMonth, *, timeout_seconds: float) -> bool:
    """Whether a fetched month is still there, and still what its source has.

    A website is asked for its headers; a file is read. A source that does not answer counts as
    changed: fetching the month again says what is the matter.
    """
    if raw.url.startswith(("https://", "http://")):
        return UPath(raw.path).exists() and _website_agrees(raw, timeout_seconds)
    return _file_agrees(raw)


def _website_agrees(raw: RawMonth, timeout_seconds: float) -> bool:
    try:
        answer = requests.head(
            raw.url,
            timeout=timeout_seconds,
            allow_redirects=True,
            headers={"Accept-Encoding": "identity"},
        )
    except requests.RequestException:
        return False
    if not answer.ok:
        return False
    if raw.etag and "ETag" in answer.headers:
        return answer.headers["ETag"] == raw.etag
    same_time = raw.last_modified == answer.headers.get("Last-Modified")
    same_size = str(raw.size) == answer.headers.get("Content-Length")
    return raw.last_modified is not None and same_time and same_size


def _file_agrees(raw: RawMonth) -> bool:
    path = UPath(raw.path)
    if not path.exists() or path.stat().st_size != raw.size:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == raw.digest
