"""Charts as a document of its own, and what every page of charts is made of.

The document holds its script: MLflow shows it in a frame without an origin, which loads nothing.
"""

from __future__ import annotations

import base64
import functools
import gzip
import importlib.util
import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from model_loop.charts.chart import Chart
from model_loop.charts.figures import inert

#: Files that draw charts, here and on the pages of the dashboard.
STATIC = Path(str(resources.files("model_loop.charts"))) / "static"


def document(title: str, charts: Iterable[Chart]) -> str:
    """Return HTML of the charts that have data, with all that is needed to draw them."""
    return (
        templates("model_loop.charts")
        .get_template("document.html")
        .render(
            title=title,
            charts=[chart for chart in charts if chart.table.rows and chart.figure],
            colors=(STATIC / "colors.css").read_text(encoding="utf-8"),
            plots=(STATIC / "plots.js").read_text(encoding="utf-8"),
            plotly=_packed_plotly(),
        )
    )


@functools.cache
def templates(package: str) -> jinja2.Environment:
    """Return the templates of a package."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inert"] = inert
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.policies["json.dumps_function"] = _dumps
    return environment


@functools.cache
def plotly_script() -> Path:
    """Return Plotly's script, out of its package, which is not imported: it would take 40 MB."""
    spec = importlib.util.find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


@functools.cache
def _packed_plotly() -> str:
    """Return Plotly's script in 1.8 MB instead of 4.6."""
    return base64.b64encode(gzip.compress(plotly_script().read_bytes())).decode()


def _dumps(value: object, **options: Any) -> str:  # noqa: ANN401 - of json.dumps
    return json.dumps(value, default=dict, **options)
