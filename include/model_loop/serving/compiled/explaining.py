"""Explaining predictions by a compiled form: neither shap nor the model itself is needed."""

from __future__ import annotations

import numpy as np

from model_loop.errors import InvalidInputError
from model_loop.scoring.reasons import Contributions, Explain
from model_loop.scoring.rows import Rows
from model_loop.serving.compiled.flat import Linear, Trees
from model_loop.serving.compiled.model import CompiledModel
from model_loop.serving.compiled.origins import by_origin
from model_loop.serving.compiled.shapley import points_of, shapley_of

#: Numbers that may be computed for one row of a request: some 85 ms of a slow core.
MOST_NUMBERS = 5_000_000
#: Seconds that each of them takes, as `benchmarks/reasons.py` measures it.
_SECONDS = 17e-9


def numbers_of(flat: Trees | Linear) -> int:
    """Return how many numbers are computed at most for the reasons of one row."""
    if isinstance(flat, Linear):
        return len(flat.weights)
    feature = flat.nodes["feature"]
    columns = len(np.unique(np.where(feature < 0, ~feature, feature)))
    return len(flat.nodes) * points_of(min(int(flat.depths.max(initial=0)), columns))


def no_reasons(what: str, why: str) -> InvalidInputError:
    """Return the error of a version whose predictions cannot be taken apart."""
    return InvalidInputError(
        what,
        f"gives no reasons: {why}",
        "Ask without explain, or promote a version that is linear or made of trees.",
    )


def require_reasons(form: CompiledModel | None, what: str, why: str = "") -> CompiledModel:
    """Return a form that can explain its predictions.

    Parameters
    ----------
    what
        Name of the version in errors.
    why
        Reason why there is no form.

    Raises
    ------
    InvalidInputError
        If it cannot.
    """
    if form is None:
        raise no_reasons(what, why)
    if form.origins is None:
        raise no_reasons(what, "its compiled form is of an earlier version of this package")
    if isinstance(form.flat, Trees) and not len(form.covers):
        seconds = numbers_of(form.flat) * _SECONDS
        raise InvalidInputError(
            what,
            f"gives reasons in files only: its trees have {len(form.flat.nodes):,} nodes, so that "
            f"those of one row take about {seconds:.1g} s",
            "Score a file with the option explain: the DAG batch_scoring, or model-loop score.",
        )
    return form


def explainer_of(form: CompiledModel) -> Explain:
    """Return a function that explains the predictions of a form; see `require_reasons`."""
    origins = form.origins
    assert origins is not None
    shapley, columns = shapley_of(form.flat, form.covers), len(form.dataset.columns)

    def explain(rows: Rows) -> Contributions:
        added = [by_origin(shapley.of(row), origins, columns) for row in form.design(rows)]
        together = np.array(added).reshape(len(rows), columns)
        return Contributions(shapley.base, together, isinstance(form.flat, Trees))

    return explain
