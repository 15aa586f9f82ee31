"""Meaning of a server's response, and checks that it fits the request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import requests
from upath import UPath

from model_loop.errors import NotPublishedError, SourceError, TransientSourceError
from model_loop.objects.documents import read_document, record_of, text_of
from model_loop.sources.cache import content_length

_FORBIDDEN, _NOT_FOUND, _TOO_MANY_REQUESTS = 403, 404, 429
#: Forms in which a file may be packed though nobody asked for it, and which are unpacked.
_PACKED = ("gzip", "x-gzip", "deflate")
_RANGE = re.compile(r"bytes (?P<first>\d+)-(?P<last>\d+)/(?P<size>\d+|\*)")
#: The names under which servers say how many requests are left.
_LEFT = ("X-RateLimit-Remaining", "RateLimit-Remaining")


@dataclass(frozen=True)
class Begun:
    """A file of which something has arrived.

    Parameters
    ----------
    url
        Where it comes from.
    validator
        ETag or date by which the file is recognised.
    size
        Bytes of the whole file; None where the server does not say.
    """

    url: str
    validator: str
    size: int | None = None

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str]) -> Self:
        """Return what a server says of a file that it begins to send."""
        return cls(url, validator_of(headers) or "", content_length(headers))

    @classmethod
    def read(cls, path: Path, url: str) -> Self | None:
        """Return what was noted; None if nothing was, or nothing by which to go on.

        A note that cannot be read is moved aside, and the download begins again.
        """
        known = read_document(UPath(path), cls._parse)
        return known if known is not None and known.url == url and known.validator else None

    @classmethod
    def _parse(cls, told: dict[str, Any]) -> Self:
        known = record_of(cls, told)
        texts, size = (known.url, known.validator), known.size
        if not all(isinstance(text, str) for text in texts) or type(size) not in {int, type(None)}:
            raise ValueError("its values are of other types")
        return known

    def write(self, path: Path) -> None:
        """Note it."""
        path.write_text(text_of(self))


def validator_of(headers: Mapping[str, str]) -> str | None:
    """Return the validator of a file; a weak ETag is none (RFC 9110, 13.1.5)."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def require_the_rest(headers: Mapping[str, str], url: str, first: int, begun: Begun | None) -> int:
    """Check that a part is the one that was asked for, and return the size of the whole file.

    Parameters
    ----------
    first
        The byte from which on the rest was asked for.
    begun
        Properties of the file at that time.

    Raises
    ------
    TransientSourceError
        If it is another part, or a part of another file.
    """
    given = headers.get("Content-Range", "")
    found = _RANGE.fullmatch(given.strip())
    length = content_length(headers)
    if (
        found is None
        or begun is None
        or int(found["first"]) != first
        or found["size"] not in {str(int(found["last"]) + 1), "*"}
        or length not in {None, int(found["last"]) + 1 - first}
        or begun.size not in {None, int(found["last"]) + 1}
        # Nothing tells that a part without a validator is of the same file.
        or validator_of(headers) != begun.validator
        or headers.get("Content-Encoding", "identity") != "identity"
    ):
        raise TransientSourceError(
            url,
            f"sent another part than was asked for (bytes from {first} on; it says {given!r}, "
            f"{length} bytes)",
            "All of it is fetched again.",
        )
    return int(found["last"]) + 1


def is_all_of_it(headers: Mapping[str, str]) -> bool:
    """Return whether a part, for which nobody asked, is the whole file."""
    found = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    return (
        found is not None
        and int(found["first"]) == 0
        and found["size"] == str(int(found["last"]) + 1)
    )


def is_packed(response: requests.Response, url: str) -> bool:
    """Return whether a file arrives packed, although the request asked for it unpacked.

    Raises
    ------
    SourceError
        If it is packed in a form that is not unpacked here.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return False
    if encoding not in _PACKED:
        raise SourceError(
            url,
            f"sends the file packed ({encoding}), though it was asked not to",
            "Let the server send it as it is, or download it and give its folder.",
        )
    return True


def may_pass(response: requests.Response) -> bool:
    """Return whether the same request may succeed later."""
    status, headers = response.status_code, response.headers
    limited = "Retry-After" in headers or any(headers.get(name) == "0" for name in _LEFT)
    return (
        status == _TOO_MANY_REQUESTS
        or status >= requests.codes.server_error
        or (status == _FORBIDDEN and limited)
    )


def refused(url: str, response: requests.Response) -> SourceError:
    """Return the error that a refusal is for a user."""
    status = response.status_code
    if may_pass(response):
        return TransientSourceError(url, f"failed with HTTP {status}", "Try again later.")
    if status == _FORBIDDEN:
        return NotPublishedError(
            url,
            "is not published, or not for everybody (HTTP 403)",
            "Choose an earlier partition, or check the variant and the address. Some servers "
            "respond so to too many requests: then try again later.",
        )
    if status == _NOT_FOUND:
        return NotPublishedError(
            url,
            f"is not published (HTTP {status})",
            "Choose an earlier partition, or check the variant and the address.",
        )
    return SourceError(url, f"was refused with HTTP {status}", "Check the address.")
