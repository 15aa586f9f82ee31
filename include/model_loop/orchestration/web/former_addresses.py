"""Addresses of versions before 0.2, redirected: bookmarks, scrapers and clients go on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

#: The application with all below it, and its pages in the Airflow UI.
_FORMER = re.compile(
    r"(/|(?:/dags/[^/]+(?:/runs/[^/]+)?)?/plugin/)trip-duration(-dag|-run)?(?=/|\Z)"
)
_PERMANENT = 308


class FormerAddresses:
    """Middleware that redirects an address of before 0.2 to that of today, method and body kept.

    Parameters
    ----------
    app
        Airflow's application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or redirect it."""
        location = _location(scope) if scope["type"] == "http" else None
        if location is None:
            await self._app(scope, receive, send)
            return
        headers = [(b"location", location.encode("ascii")), (b"content-length", b"0")]
        # Every process of Airflow imports this: it does without a library for one message.
        await send({"type": "http.response.start", "status": _PERMANENT, "headers": headers})
        await send({"type": "http.response.body"})


def _location(scope: Scope) -> str | None:
    """Return the path and query of today's address, or nothing if the request's is today's."""
    root, path = scope.get("root_path", "").rstrip("/"), scope["path"]
    below = path.removeprefix(root) if path.startswith(f"{root}/") else path
    former = _FORMER.match(below)
    if former is None:
        return None
    query = scope.get("query_string", b"").decode("latin-1")
    rest = f"{former[1]}model-loop{former[2] or ''}{below[former.end() :]}"
    return quote(root + rest) + (f"?{query}" if query else "")
