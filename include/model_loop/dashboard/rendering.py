"""Pages as HTML."""

from __future__ import annotations

import functools
import hashlib
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from model_loop.charts.document import STATIC, plotly_script, templates
from model_loop.charts.formatting import UNKNOWN
from model_loop.dashboard.page import Page

#: Rows of a table that a page shows; its CSV has all of them.
MOST_ROWS = 100

_STATIC = Path(str(resources.files("model_loop.dashboard"))) / "static"

MENU = (
    ("overview", "Overview"),
    ("data", "Data"),
    ("models", "Models"),
    ("monitoring", "Monitoring"),
    ("playground", "Playground"),
)


def render(page: Page, **more: Any) -> str:  # noqa: ANN401 - what templates are given
    """A page as HTML."""
    template = _templates().select_template([f"{page.name}.html", "page.html"])
    return template.render(page=page, menu=MENU, most_rows=MOST_ROWS, assets=_version(), **more)


def asset(name: str) -> Path | None:
    """A file that the pages load; None if there is none of that name."""
    if name == "plotly.js":
        return plotly_script()
    if not re.fullmatch(r"[\w-]+\.(css|js|svg)", name):
        return None
    paths = (folder / name for folder in (_STATIC, STATIC))
    return next((path for path in paths if path.is_file()), None)


@functools.cache
def _version() -> str:
    """Changes with the files, so that browsers may keep them for good."""
    digest = hashlib.sha256()
    for file in sorted(file for folder in (_STATIC, STATIC) for file in folder.iterdir()):
        digest.update(file.read_bytes())
    digest.update(str(plotly_script().stat().st_size).encode())
    return digest.hexdigest()[:12]


@functools.cache
def _templates() -> jinja2.Environment:
    environment = templates("model_loop.dashboard")
    environment.filters["cell"] = _cell
    environment.filters["kind"] = _kind
    return environment


def _cell(value: object) -> str:
    """A cell of a table, for people."""
    if value is None:
        return UNKNOWN
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"  # noqa: PLR2004 - whole numbers are enough
    return f"{value:,}" if isinstance(value, int) else str(value)


def _kind(value: object) -> str:
    return "number" if isinstance(value, int | float) else "text"
