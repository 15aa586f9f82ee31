"""Colours, and what all figures have."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from model_loop.charts.chart import Figure

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW = (f"@{number}" for number in range(1, 8))
#: Told apart less surely: only where there are more than seven.
FURTHER = tuple(f"@{number}" for number in range(8, 13))
GREY = "@grey"
#: Light to dark on light ground; see https://doi.org/10.1371/journal.pone.0199239 (cividis).
SCALE = "Cividis"
COLORS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, *FURTHER)

Series = Mapping[str, Sequence[tuple[Any, Any]]]
"""Points by the name of their line."""

_MARKUP = re.compile(r"<(?!br>|extra></extra>|/extra>)")


def inert(value: Any) -> Any:  # noqa: ANN401 - JSON
    """A figure whose texts are no markup: Plotly would make links of what others have named so."""
    if isinstance(value, str):
        return _MARKUP.sub("&lt;", value)
    if isinstance(value, Mapping):
        return {name: inert(one) for name, one in value.items()}
    return [inert(one) for one in value] if isinstance(value, list | tuple) else value


def figure(
    data: Sequence[Mapping[str, Any]],
    *,
    legend: bool | Literal["above"] = False,
    **layout: Any,  # noqa: ANN401 - of Plotly
) -> Figure:
    """Traces and their layout.

    Parameters
    ----------
    legend
        Whether it is said what each trace is: below the plot, or above it.
    layout
        Differences from the layout of all figures, which the browser adds.
    """
    if legend == "above":
        layout = {"legend": {"y": 1.03, "yanchor": "bottom"}, "margin": {"t": 40}, **layout}
    return {"data": list(data), "layout": {**layout, "showlegend": bool(legend)}}
