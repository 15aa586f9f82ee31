"""Pages as HTML."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from urllib.parse import urlencode

import jinja2

from model_loop.charts.document import STATIC, plotly_script, templates
from model_loop.charts.formatting import UNKNOWN
from model_loop.dashboard.additions import static_folders
from model_loop.dashboard.page import Page
from model_loop.dashboard.page_data import PageSources
from model_loop.datasets.dataset import Dataset

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


@dataclass(frozen=True)
class PageContext:
    """Surroundings of a page: its variant, and what the address asks for.

    Parameters
    ----------
    sources
        Sources of its variant.
    default
        Key of the variant that an address need not name.
    datasets
        Datasets that can be switched to.
    query
        What the address asks for.
    may_promote
        Whether buttons that move versions are shown.
    """

    sources: PageSources
    default: str = ""
    datasets: Sequence[Dataset] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    may_promote: bool = False

    @property
    def given(self) -> str:
        """Key of the variant as addresses have it; empty for the default one."""
        return "" if self.sources.service == self.default else self.sources.service

    def address(self, path: str, **query: str) -> str:
        """Return an address of the same variant."""
        asked = {"variant": self.given, **query} if self.given else query
        return f"{path}?{urlencode(asked)}" if asked else path

    @property
    def switch(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Keys and titles of the variants by dataset; without a heading where there is one."""
        return [
            (
                one.title if len(one.variants) > 1 else "",
                [(key, variant.title) for key, variant in one.variants.items()],
            )
            for one in self.datasets
        ]


def render(page: Page, context: PageContext) -> str:
    """Return a page as HTML."""
    template = _templates().select_template([f"{page.name}.html", "page.html"])
    return template.render(
        page=page,
        place=context,
        sources=context.sources,
        query=context.query,
        menu=MENU,
        most_rows=MOST_ROWS,
        assets=_version(),
    )


def asset(name: str) -> Path | None:
    """A file that the pages load; None if there is none of that name."""
    if name == "plotly.js":
        return plotly_script()
    if not re.fullmatch(r"[\w-]+\.(css|js|svg)", name):
        return None
    paths = (folder / name for folder in _folders())
    return next((path for path in paths if path.is_file()), None)


def _folders() -> tuple[Path, ...]:
    return (_STATIC, STATIC, *static_folders())


@functools.cache
def _version() -> str:
    """Changes with the files, so that browsers may keep them for good."""
    digest = hashlib.sha256()
    for file in sorted(file for folder in _folders() for file in folder.iterdir()):
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
