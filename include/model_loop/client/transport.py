"""Requests: what is repeated, what is never followed, and what becomes of a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry

from model_loop.client.errors import (
    ClientError,
    ServerFailedError,
    UnreachableServerError,
    error_of,
)

#: Statuses by which the server says that it has done nothing: any request may be repeated.
_BUSY = frozenset({429, 503})
_REPEATS = 3
#: Longest pause (seconds) that a server can ask for between two requests.
_LONGEST_PAUSE = 30.0
_REDIRECTS = range(300, 400)


class _SafeRetry(Retry):
    """Repeats what cannot be done twice by that.

    GET and DELETE always; any other request if no connection was made, or if the server says that
    it has done nothing.
    """

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:  # noqa: FBT001, FBT002 - as urllib3's
        """Return whether an answer asks to repeat the request."""
        del method
        return status_code in _BUSY and has_retry_after

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Return the pause that the server asks for, with a bound."""
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, _LONGEST_PAUSE)


class _Bearer(AuthBase):
    """Sends the token, whatever `.netrc` says of the host."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Transport:
    """Connections to one server.

    Parameters
    ----------
    url
        Address of the server: http:// or https://, perhaps with a path.
    token
        Bearer token; empty for none.
    timeout
        Seconds until a connection is there, and between two pieces of an answer.

    Raises
    ------
    ClientError
        If the address is invalid.
    """

    def __init__(self, url: str, token: str, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            raise ClientError(
                f"The address {url!r}",
                "is not http:// or https:// with a host and without a login",
                "Give that of the server, such as http://127.0.0.1:8090.",
            )
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._auth = _Bearer(token)
        self._session = requests.Session()
        retry = _SafeRetry(
            _REPEATS,
            redirect=False,
            backoff_factor=0.2,
            allowed_methods=frozenset({"GET", "DELETE"}),
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def send(
        self,
        method: str,
        path: str,
        *,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        data: Any = None,  # noqa: ANN401 - bytes, or a file
    ) -> requests.Response:
        """Send a request, and return the answer if it is not an error.

        Raises
        ------
        ClientError
            If there is no such answer; see `errors`.
        """
        address = f"{self.url}{path}"
        try:
            answer = self._session.request(
                method,
                address,
                params=params,
                headers=headers,
                data=data,
                auth=self._auth,
                timeout=self._timeout,
                stream=stream,
                # Another host would be handed the rows, and perhaps the token.
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise unreachable(address, error) from error
        if answer.status_code in _REDIRECTS:
            raise ServerFailedError(
                f"{method} {address}",
                f"is redirected to {answer.headers.get('Location', 'nowhere')}, which is not "
                "followed",
                "Give the address that the server has now.",
                status=answer.status_code,
            )
        if not answer.ok:
            raise error_of(answer.status_code, json_of(answer), f"{method} {address}")
        return answer

    def json(self, method: str, path: str, **more: Any) -> Any:  # noqa: ANN401 - JSON
        """Send a request, and return the JSON of its answer.

        Raises
        ------
        ClientError
            See `send`; also if the answer is not JSON.
        """
        answer = self.send(method, path, **more)
        found = json_of(answer)
        if found is None:
            raise error_of(answer.status_code, None, f"{method} {self.url}{path}")
        return found

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def unreachable(address: str, error: Exception) -> UnreachableServerError:
    """Return the error of a connection that was not made, or has ended too early."""
    return UnreachableServerError(
        address,
        f"has not answered ({type(error).__name__}: {str(error)[:300]})",
        "Check the address, and whether the server runs: `wait_ready` waits for it.",
    )


def json_of(answer: requests.Response) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON of an answer; None if it is not a number."""
    try:
        return answer.json()
    except ValueError:
        return None
