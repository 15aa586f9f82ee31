"""Explaining predictions by a compiled form: neither shap nor the model itself is needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model_loop.errors import InvalidInputError
from model_loop.scoring.reasons import Contributions, Explain
from model_loop.scoring.rows import Rows
from model_loop.serving.compiled.flat import Linear, Trees
from model_loop.serving.compiled.links import Logistic, Scores, added_scale
from model_loop.serving.compiled.model import Blended, CompiledModel
from model_loop.serving.compiled.origins import by_origin
from model_loop.serving.compiled.shapley import points_of, shapley_of

#: Numbers that may be computed for one row of a request: some 85 ms of a slow core.
MOST_NUMBERS = 5_000_000
#: Seconds that each of them takes, as `benchmarks/reasons.py` measures it.
_SECONDS = 17e-9
#: Change of log-odds below which a difference of probabilities is rounding.
_LEAST_CHANGE = 1e-6
_LOGISTIC = Logistic(single=False)


def numbers_of(flat: Trees | Linear | Scores | Blended) -> int:
    """Return how many numbers are computed at most for the reasons of one row."""
    if isinstance(flat, Blended):
        return sum(numbers_of(member.flat) for member in flat.members)
    if isinstance(flat, Scores):
        # Only the score of the predicted class is taken apart.
        return max(map(numbers_of, flat.columns))
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
    members = form.flat.members if isinstance(form.flat, Blended) else (form,)
    if any(member.origins is None for member in members):
        raise no_reasons(what, "its compiled form is of an earlier version of this package")
    classes = form.dataset.target.classes
    if isinstance(form.flat, Blended) and classes is not None and not classes.is_binary:
        raise no_reasons(
            what, "it blends the probabilities of several classes, whose log-odds do not add up"
        )
    nodes = sum(len(each.nodes) for each in form.columns if isinstance(each, Trees))
    if nodes and not sum(len(member.covers) for member in members):
        seconds = numbers_of(form.flat) * _SECONDS
        raise InvalidInputError(
            what,
            f"gives reasons in files only: its trees have {nodes:,} nodes, so that "
            f"those of one row take about {seconds:.1g} s",
            "Score a file with the option explain: the DAG batch_scoring, or model-loop score.",
        )
    return form


def explainer_of(form: CompiledModel) -> Explain:
    """Return a function that explains the predictions of a form; see `require_reasons`."""
    if isinstance(form.flat, Blended):
        return _blended(form.flat)
    origins = form.origins
    assert origins is not None
    columns, flats = len(form.dataset.columns), form.columns
    ends = np.cumsum([len(each.nodes) for each in flats if isinstance(each, Trees)], dtype=np.int64)
    covers = np.split(form.covers, ends[:-1]) if len(ends) else [form.covers] * len(flats)
    shapley = [shapley_of(each, own) for each, own in zip(flats, covers, strict=True)]

    def added(rows: Rows, outputs: Sequence[int]) -> npt.NDArray[np.float64]:
        together = [
            by_origin(shapley[output].of(row), origins, columns)
            for row, output in zip(form.design(rows), outputs, strict=True)
        ]
        return np.array(together).reshape(len(rows), columns)

    is_forest = isinstance(flats[0], Trees)
    if not isinstance(form.flat, Scores):
        base = shapley[0].base
        return lambda rows: Contributions(base, added(rows, [0] * len(rows)), is_forest)
    predict, scale = form.predictor(machine_code=False), added_scale(form.flat)
    bases = scale.factors * np.array([each.base for each in shapley]) + scale.shifts

    def explain(rows: Rows) -> Contributions:
        outputs = np.zeros(len(rows), dtype=np.int64)
        if len(flats) > 1:
            outputs = predict(rows).argmax(axis=1)
        return Contributions(
            bases[outputs],
            added(rows, outputs.tolist()) * scale.factors[outputs, np.newaxis],
            is_forest,
            unit=scale.unit,
            answered=scale.answered,
            outputs=outputs if len(flats) > 1 else np.ones(len(rows), dtype=np.int64),
        )

    return explain


def _blended(blend: Blended) -> Explain:
    """Return a function that adds up what explains the members, by their weights."""
    weights = blend.weights
    explains = [explainer_of(member) for member in blend.members]
    classified = blend.members[0].dataset.target.is_classified

    def explain(rows: Rows) -> Contributions:
        found = [as_probabilities(each(rows)) if classified else each(rows) for each in explains]
        base = np.tensordot(weights, np.stack([np.asarray(each.base) for each in found]), 1)
        return Contributions(
            base if classified else float(base),
            np.tensordot(weights, np.stack([each.added for each in found]), 1),
            all(each.average for each in found),
            unit="probability" if classified else "",
            answered=not blend.steps,
            outputs=np.ones(len(rows), dtype=np.int64) if classified else None,
            blended=True,
        )

    return explain


def as_probabilities(found: Contributions) -> Contributions:
    """Return contributions to log-odds of the positive class as ones to its probability.

    The change of the probability is divided among the columns as that of the log-odds is: the
    "rescale" rule of DeepLIFT (Shrikumar et al., 2017), which keeps signs, shares and the sum.
    """
    if found.unit == "probability":
        return found
    base, added = np.asarray(found.base, dtype=np.float64), found.added
    change, before = added.sum(axis=1), _LOGISTIC.apply(base)
    # It is the slope, if nothing changes.
    slope = np.divide(
        _LOGISTIC.apply(base + change) - before,
        change,
        out=before * (1 - before),
        where=np.abs(change) > _LEAST_CHANGE,
    )
    return found._replace(base=before, added=added * slope[:, np.newaxis], unit="probability")
