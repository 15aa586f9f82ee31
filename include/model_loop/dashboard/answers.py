"""Answers of the playground: every version that is ready, with an interval and reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from model_loop.charts import figures
from model_loop.charts.formatting import short
from model_loop.dashboard.known import PageSources
from model_loop.dashboard.questions import Questions
from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.reading import Row
from model_loop.scoring.assumptions import compute_missing
from model_loop.scoring.rows import as_rows
from model_loop.tracking.deployments import PARTS, Part, alias_of
from model_loop.tracking.names import NUMBERS

if TYPE_CHECKING:
    from model_loop.serving.models.manager import ActiveModels
    from model_loop.serving.models.predictor import ServedVersion

CONFIDENCE = 90


def answers_of(
    sources: PageSources, dataset: Dataset, live: ActiveModels, row: Row
) -> list[dict[str, Any]]:
    """Predict a row by each version, with the interval of its residuals."""
    known = sources.look("registry")
    found = []
    for alias, (part, moment, predictor) in _ready(live).items():
        answer = {
            "alias": alias,
            "part": part,
            "moment": moment,
            "version": predictor.version,
        }
        if lacking := predictor.lacking(dataset.columns, [row], computed=True):
            found.append({**answer, "why": f"It needs {lacking}."})
            continue
        complete = _complete(dataset, predictor, row)
        (minutes,) = predictor.predict(as_rows(dataset, [complete.cells])).tolist()
        version = known.registry.version(predictor.version)
        numbers = known.numbers(version.run_id, NUMBERS) if version and version.run_id else None
        test = (numbers or {}).get("test") or {}
        bands = _interval(minutes, test.get("intervals", ()))
        if numbers is None and (known.problems or known.waiting):
            bands = {"interval": None, "how": "The tracking server does not tell its errors now."}
        found.append(
            {
                **answer,
                "family": short(version.family) if version else "",
                "minutes": minutes,
                **bands,
            }
        )
    return found


def reasons_of(
    questions: Questions, dataset: Dataset, live: ActiveModels, alias: str, row: Row
) -> dict[str, Any]:
    """Explain a version's prediction of a row, with a figure."""
    if alias not in (there := _ready(live)):
        return {"why": f"There is no {alias}."}
    predictor = there[alias][-1]
    values = _complete(dataset, predictor, row).cells
    found = questions.explain(predictor.version, values, predictor.columns)
    if "features" not in found:
        return found
    parts = sorted(found["features"].items(), key=lambda item: -abs(item[1]))
    return {
        **found,
        "features": parts,
        "figure": figures.inert(
            figures.force(found["base"], parts, average="average trip", title="minutes")
        ),
    }


def _complete(dataset: Dataset, predictor: ServedVersion, row: Row) -> Row:
    """Return a row with what a version needs and can be computed."""
    lacking = predictor.lacking(dataset.columns, [row])
    return compute_missing(dataset, [row])[0] if lacking else row


def _ready(live: ActiveModels) -> dict[str, tuple[Part, Moment, ServedVersion]]:
    """The versions that are ready by their alias, those of the earliest moment first."""
    return {
        alias_of(part, moment, tuple(live.sides)): (part, moment, predictor)
        for moment, side in live.sides.items()
        for part in PARTS
        if (predictor := getattr(side, part)) is not None
    }


def _interval(minutes: float, bands: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An interval by the residuals of test trips whose predictions were about as long."""
    if not bands:
        return {"interval": None, "how": "This version was not judged on test rows."}
    own = [
        band
        for band in bands[1:]
        if (band["from"] is None or band["from"] <= minutes)
        and (band["to"] is None or minutes < band["to"])
    ]
    band = own[0] if own else bands[0]
    # A residual is predicted less actual.
    low, high = max(minutes - band["high"], 0.0), minutes - band["low"]
    which, count = "all test trips", band["rows"] if "rows" in band else band["trips"]
    if own:
        upper = f"{band['to']:g}" if band["to"] is not None else "more"
        which = f"the test trips that were predicted to take {band['from']:g} to {upper} minutes"
    return {
        "interval": [low, high],
        "how": f"{CONFIDENCE} % by the quantiles of the errors on {which} ({count:,}).",
    }
