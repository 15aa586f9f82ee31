"""Pages as HTML."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from model_loop.dashboard.figures import inert
from model_loop.dashboard.page import Page
from model_loop.dashboard.words import UNKNOWN

#: Rows of a table that a page shows; its CSV has all of them.
MOST_ROWS = 100

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
        return _plotly()
    path = Path(str(resources.files("model_loop.dashboard"))) / "static" / name
    return path if re.fullmatch(r"[\w-]+\.(css|js|svg)", name) and path.is_file() else None


@functools.cache
def _plotly() -> Path:
    """Plotly's script, out of its package, which is not imported: it would take 40 MB."""
    found = importlib.util.find_spec("plotly")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "package_data" / "plotly.min.js"


@functools.cache
def _version() -> str:
    """Changes with the files, so that browsers may keep them for good."""
    digest = hashlib.sha256()
    for file in sorted((Path(str(resources.files("model_loop.dashboard"))) / "static").iterdir()):
        digest.update(file.read_bytes())
    digest.update(str(_plotly().stat().st_size).encode())
    return digest.hexdigest()[:12]


@functools.cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("model_loop.dashboard"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    environment.filters["kind"] = _kind
    environment.filters["inert"] = inert
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.policies["json.dumps_function"] = _dumps
    return environment


def _dumps(value: object, **options: Any) -> str:  # noqa: ANN401 - of json.dumps
    return json.dumps(value, default=dict, **options)


def _cell(value: object) -> str:
    """A cell of a table, for people."""
    if value is None:
        return UNKNOWN
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"  # noqa: PLR2004 - whole numbers are enough
    return f"{value:,}" if isinstance(value, int) else str(value)


def _kind(value: object) -> str:
    return "number" if isinstance(value, int | float) else "text"
