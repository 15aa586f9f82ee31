"""The card of a model: what it was made of, how far off it is, and how it is loaded.

It follows "Model cards for model reporting" (Mitchell et al., 2019), as far as a run knows it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model_loop.charts.formatting import percent
from model_loop.charts.groups import DISCLAIMER, FEW, group_table
from model_loop.charts.wording import Wording
from model_loop.models.baseline import baseline_errors
from model_loop.models.calibrating import LEVELS
from model_loop.models.evaluation import predicted_of
from model_loop.models.groups import group_reports
from model_loop.models.outcomes import parts_of_classifier
from model_loop.models.search import ErrorMetrics, metric_title
from model_loop.models.training import TrainedModel
from model_loop.sources.origin import source_label
from model_loop.training_set.request import TableRequest
from model_loop.training_set.types import TrainingSet

#: Partitions that are named one by one; of more, the first and the last.
_NAMED = 6
#: Slices that are listed, those with the largest error first, and the fewest rows of them.
_SLICES, _FEWEST_ROWS = 12, 30


def model_card(trained: TrainedModel, training_set: TrainingSet, run_id: str = "<run>") -> str:
    """Return the card of a model as Markdown.

    Parameters
    ----------
    run_id
        The run that the model is logged with.
    """
    dataset = training_set.dataset
    variant, words = dataset.variants[training_set.variant], Wording.of(dataset)
    recipe = training_set.recipe
    judged = (
        (
            *_scores(trained, training_set, words),
            *_decision(trained, words),
            *_groups(trained, training_set, words),
        )
        if words.is_classified
        else (
            *_errors(trained, training_set, words),
            *_intervals(trained, words),
            *_slices(trained, words),
        )
    )
    parts = [
        f"# {_text(variant.title)}: {_text(words.target)}",
        (
            f"A model of the family `{trained.tuned.family}` that predicts "
            f"{_text(_predicted(training_set, words))}: {_text(recipe.label)} "
            f"({_text(recipe.title)})."
        ),
        *judged,
        *_columns(training_set),
        *_data(training_set, words),
        *_findings(training_set),
        *_fit(trained, training_set, words),
        *_loading(training_set, run_id),
    ]
    return "\n\n".join(parts) + "\n"


def _predicted(training_set: TrainingSet, words: Wording) -> str:
    """Return what a model predicts, in words."""
    if not words.is_classified:
        unit = f" in {words.unit}" if words.unit else ""
        return f"the {words.target} of a {words.row}{unit}"
    classes = training_set.target.labels
    if classes.is_binary:
        return f"whether {words.target} = {classes.texts[1]} of a {words.row}"
    return f"which of {len(classes.labels)} classes the {words.target} of a {words.row} is"


def _errors(trained: TrainedModel, training_set: TrainingSet, words: Wording) -> Iterator[str]:
    yield "## Errors"
    evaluation = trained.evaluation
    if evaluation is None:
        yield f"It was not judged: the training set has no test {words.rows}."
        return
    rows = [("the model", evaluation.metrics)]
    rows += [(f"baseline: {name}", found) for name, found in baseline_errors(training_set).items()]
    rows.append((f"always the median of the learned {words.rows}", evaluation.naive))
    yield (
        f"On {training_set.rows['test']:,} test {words.rows} that it has never seen"
        f"{_of(training_set, 'test')}:"
    )
    yield _table(
        ("", words.axis("RMSE"), words.axis("MAE"), "R²"),
        ((name, *_measured(metrics)) for name, metrics in rows),
    )


#: Scores of classifiers in the order of the table.
_SCORES = (
    *("log_loss", "roc_auc", "average_precision", "brier", "accuracy", "balanced_accuracy"),
    *("precision", "recall", "f1"),
)


def _scores(trained: TrainedModel, training_set: TrainingSet, words: Wording) -> Iterator[str]:
    """Yield how well a classifier tells the classes apart, against rules without a model."""
    yield from _classes(training_set, words)
    yield "## Scores"
    evaluation = trained.evaluation
    if evaluation is None:
        yield f"It was not judged: the training set has no test {words.rows}."
        return
    judged = [(f"baseline: {name}", each) for name, each in baseline_errors(training_set).items()]
    judged.append(
        (f"always the shares of the classes of the learned {words.rows}", evaluation.naive)
    )
    rows = [("the model", *(_score(getattr(evaluation.metrics, key)) for key in _SCORES))]
    if evaluation.intervals:
        ends = (evaluation.intervals.get(key) for key in _SCORES)
        said = (f"{end[0]:.3g} to {end[1]:.3g}" if end else "" for end in ends)
        rows.append(("its 95 % interval", *said))
    rows += [(name, *(_score(getattr(each, key)) for key in _SCORES)) for name, each in judged]
    several = "" if training_set.target.labels.is_binary else "; means over the classes (macro)"
    yield (
        f"On {training_set.rows['test']:,} test {words.rows} that it has never seen"
        f"{_of(training_set, 'test')}{several}:"
    )
    yield _table(("", *map(metric_title, _SCORES)), rows)
    slices = evaluation.slices
    worst = slices[slices.rows >= _FEWEST_ROWS].sort_values("log_loss", ascending=False)
    if worst.empty:
        return
    yield "## Where it is farthest off"
    yield f"The slices with the largest log loss, of {_FEWEST_ROWS} test {words.rows} and more:"
    shown = [name for name in worst.columns if name not in {"slice", "value", "rows"}]
    yield _table(
        ("slice", "value", words.rows, *(name.replace("_", " ") for name in shown)),
        (
            (name, value, f"{count:,}", *map(_score, scores))
            for name, value, count, *scores in worst.head(_SLICES)[
                ["slice", "value", "rows", *shown]
            ].itertuples(index=False)
        ),
    )


def _score(value: float) -> str:
    """Return a score for people; that of rows of a single class has none in some metrics."""
    return "not defined" if math.isnan(value) else f"{value:.4g}"


def _decision(trained: TrainedModel, words: Wording) -> Iterator[str]:
    """Yield how probabilities become answers, and whether they hold."""
    decision = trained.decision
    if decision is None:
        return
    yield "## Threshold and calibration"
    if decision.threshold is not None:
        yield _text(
            f"From a probability of {decision.threshold:.4g} on, the answer is "
            f"{decision.positive}: {decision.threshold_reason}."
        )
    reason = decision.calibration_reason
    yield _text(f"Calibration: {decision.calibration}{f' ({reason})' if reason else ''}.")
    mended, measured = decision.calibration != "none", decision.metrics
    chosen, perfect = f"{decision.rows:,} that chose it", "perfect probabilities, by chance"
    errors = [
        ("before", chosen, decision.error_before if mended else None),
        ("as it is", chosen, decision.error_after),
        (perfect, chosen, decision.error_by_chance),
        ("as it is", "test", measured.get("calibration_error_test")),
        (perfect, "test", measured.get("calibration_error_by_chance_test")),
    ]
    yield _table(
        ("probabilities", words.rows, "expected calibration error"),
        ((name, rows, percent(error)) for name, rows, error in errors if error is not None),
    )
    levels = sorted(float(key.split("_")[2]) for key in measured if key.startswith("set_coverage_"))
    if levels:
        yield f"Sets of classes on the test {words.rows}, from which nothing was learned:"
        yield _table(
            ("level", "share of sets with the true class", "mean number of classes"),
            (
                (
                    f"{level:g} %",
                    percent(measured[f"set_coverage_{level:g}_test"]),
                    f"{measured[f'set_size_{level:g}_test']:.2f}",
                )
                for level in levels
            ),
        )


def _classes(training_set: TrainingSet, words: Wording) -> Iterator[str]:
    """Yield the classes with their shares."""
    classes = training_set.target.labels
    yield "## Classes"
    learned, test = (
        np.bincount(codes.astype(np.int64), minlength=len(classes.labels))
        for codes in (training_set.train_validation_target, training_set.test_target)
    )
    if classes.is_binary:
        yield f"The positive class is {_text(classes.texts[1])}: its probability is predicted."
    yield _table(
        ("class", f"learned {words.rows}", "share", f"test {words.rows}", "share"),
        (
            (text, f"{own:,}", _share(own, learned), f"{judged:,}", _share(judged, test))
            for text, own, judged in zip(classes.texts, learned, test, strict=True)
        ),
    )


def _share(count: int, counts: npt.NDArray[np.int64]) -> str:
    return percent(float(count / max(counts.sum(), 1)))


def _groups(trained: TrainedModel, training_set: TrainingSet, words: Wording) -> Iterator[str]:
    """Yield the rates by group, of the columns that the dataset marks."""
    if trained.evaluation is None:
        return
    threshold = parts_of_classifier(trained.model.named_steps["estimate"]).threshold
    predicted = predicted_of(trained.evaluation.predictions)
    reports = group_reports(training_set, predicted, threshold)
    if not reports:
        return
    yield f"## Groups\n\n{DISCLAIMER}"
    yield (
        f"On the test {words.rows}. In brackets are 95 % intervals (Wilson), and after them how "
        "many points a rate is from that of all rows. Groups of fewer than "
        f"{FEW} rows say little, and are marked as few."
    )
    for report in reports:
        yield f"{_text(words.target)} = {_text(report['class'])}, by {_text(report['column'])}:"
        yield _table(*group_table(report))


def _measured(metrics: ErrorMetrics) -> tuple[str, str, str]:
    return f"{metrics.rmse:.4g}", f"{metrics.mae:.4g}", f"{metrics.r2:.3f}"


def _intervals(trained: TrainedModel, words: Wording) -> Iterator[str]:
    calibration = trained.calibration
    if calibration is None:
        return
    intervals, metrics = calibration.intervals, calibration.metrics
    of = {
        "validation": "validation rows, by the model of the train rows alone",
        "folds": "rows of each fold, by the models of the others",
        "calibration": "calibration rows, which the model has not learned from",
    }[intervals.part]
    days = f" ({' to '.join(intervals.days)})" if intervals.days else ""
    yield f"## Intervals\n\nFrom the residuals of {intervals.rows:,} {of}{days}."
    if intervals.scale is not None:
        yield (
            "They are in expected sizes of errors, by "
            f"{', '.join(intervals.scale.features)}: {words.rows} that are harder to predict "
            "have wider ones."
        )
    if trained.evaluation is None:
        return
    yield f"On the test {words.rows}, from which nothing was learned:"
    yield _table(
        ("level", "coverage", words.axis("mean width"), words.axis("interval score")),
        (
            (
                f"{level:g} %",
                *(
                    f"{metrics[name]:{form}}" if name in metrics else ""
                    for name, form in (
                        (f"interval_coverage_{level:g}_test", ".1%"),
                        (f"interval_width_{level:g}_test", ".4g"),
                        (f"interval_score_{level:g}_test", ".4g"),
                    )
                ),
            )
            for level in LEVELS
        ),
    )


def _slices(trained: TrainedModel, words: Wording) -> Iterator[str]:
    if trained.evaluation is None:
        return
    slices = trained.evaluation.slices
    worst = slices[slices.rows >= _FEWEST_ROWS].sort_values("rmse", ascending=False).head(_SLICES)
    if worst.empty:
        return
    yield "## Where it is farthest off"
    yield (
        f"The slices with the largest errors, of {_FEWEST_ROWS} test {words.rows} and more; where "
        "the bias is below 0, predictions are too low:"
    )
    columns = ("slice", "value", "rows", "rmse", "mae", "bias")
    yield _table(
        ("slice", "value", words.rows, *map(words.axis, ("RMSE", "MAE", "bias"))),
        (
            (name, value, f"{rows:,}", *(f"{error:.4g}" for error in errors))
            for name, value, rows, *errors in worst[list(columns)].itertuples(index=False)
        ),
    )


def _columns(training_set: TrainingSet) -> Iterator[str]:
    recipe, dataset = training_set.recipe, training_set.dataset
    yield (
        f"## Columns\n\nIt is {_text(recipe.asked)}, and takes what is known by then "
        f"(moment `{recipe.moment}`)."
    )
    known = {column.name: column for column in dataset.columns}
    yield _table(
        ("column", "type", "unit", "known from", "may be missing", "meaning"),
        (
            (
                name,
                known[name].kind.replace("_", "/"),
                known[name].unit,
                known[name].known,
                "" if known[name].required else "yes",
                known[name].title,
            )
            for name in recipe.columns
        ),
    )


def _data(training_set: TrainingSet, words: Wording) -> Iterator[str]:
    counts = training_set.rows
    yield "## Data"
    source = _text(source_label(training_set.data_source))
    yield f"Source: {source}. Training set: `{training_set.digest}`."
    parts = {name: counts[name] for name in ("train", "validation", "test")}
    if training_set.calibration_rows is not None:
        parts["calibration"] = len(training_set.calibration_rows)
    yield _table(
        ("part", words.rows, "partitions"),
        ((name, f"{number:,}", _partitions(training_set, name)) for name, number in parts.items()),
    )
    yield _table(
        ("file", "sha256"), ((file.url, f"`{file.digest}`") for file in training_set.files)
    )
    request = training_set.request
    split = f"Split {_text(request.split.in_words)}. " if isinstance(request, TableRequest) else ""
    yield f"{split}Settings and family were chosen by {_text(training_set.chosen_by)}."
    yield f"Of the {words.rows} that were read:"
    yield "\n".join(f"- {_text(str(report))}" for report in training_set.cleaning)


def _findings(training_set: TrainingSet) -> Iterator[str]:
    declaration = training_set.dataset.declaration
    accepted = [
        (each.code, each.column or "", each.partition or "", each.reason)
        for each in (declaration.accepted if declaration else ())
    ]
    accepted += [
        (text, "", "", "accepted in the request") for text in training_set.request.accepted_findings
    ]
    yield "## Findings"
    if accepted:
        yield "Accepted by a person:"
        yield _table(("finding", "column", "partition", "reason"), accepted)
    said = [f"- {_text(str(finding))}" for finding in training_set.findings]
    if said:
        yield "Doubtful, and learned from all the same:\n\n" + "\n".join(said)
    if not accepted and not said:
        yield "None."


def _blend(trained: TrainedModel) -> Iterator[str]:
    """Yield the members of a blend, why it was preferred, and what its answers cost."""
    blend = trained.blend
    if blend is None:
        return
    yield f"## Blend\n\n{_text(blend.judgement.reason)}"
    timed = [
        (member.family, f"{member.version}", f"{member.weight:.0%}", member)
        for member in blend.members
    ]
    yield _table(
        ("member", "version", "weight", "µs a row of its compiled form"),
        (
            *((*cells, _microseconds(one.microseconds)) for *cells, one in timed),
            ("the blend", "", "", _microseconds(blend.microseconds)),
        ),
    )


def _microseconds(value: float | None) -> str:
    return "no compiled form" if value is None else f"{value:.3g}"


def _fit(trained: TrainedModel, training_set: TrainingSet, words: Wording) -> Iterator[str]:
    if trained.blend is not None:
        # Its members are fitted, each on the same rows.
        yield from _blend(trained)
        return
    best, sampled = trained.tuned.best, trained.tuned.sampled
    settings = json.dumps(dict(best.settings), sort_keys=True)
    rows, counts = trained.rows, training_set.rows
    number, drawn = f"{counts['all']:,}", ""
    if rows is not None and rows < counts["all"]:
        evenly = "drawn evenly" if training_set.train_days is None else "drawn evenly from each day"
        number, drawn = f"{rows:,} of {number}", f", {evenly}"
    yield (
        f"## Fit\n\nFitted in {trained.seconds:.1f} s on {number} "
        f"{words.rows} (train and validation{drawn}), with the best of "
        f"{len(trained.tuned.trials):,} trials: `{settings}`"
        f"{f', {best.rounds} rounds' if best.rounds else ''}."
    )
    if sampled:
        more = len(sampled.finalists) > 1
        best_ones = f"The best {len(sampled.finalists)} were" if more else "The best was"
        cost = f"{sampled.regret:.4g} of the loss" if sampled.regret else "nothing"
        yield (
            f"Trials learned from {sampled.train_rows:,} train {words.rows} and were judged by "
            f"{sampled.judged_rows:,}. {best_ones} fitted again on {sampled.again_rows:,} and "
            f"judged by {_text(training_set.chosen_by)}"
            + (f": the choice by the sample alone would have cost {cost}." if more else ".")
        )


def _loading(training_set: TrainingSet, run_id: str) -> Iterator[str]:
    request = training_set.request
    if isinstance(request, TableRequest):
        digest = hashlib.sha256(request.declaration.encode()).hexdigest()
        yield "## Declaration"
        yield f"The completed declaration of {training_set.dataset.name} has the sha256 `{digest}`."
    columns, asked = ", ".join(training_set.recipe.columns), ""
    if training_set.target.is_classified:
        labels = ", ".join(map(str, sorted(training_set.target.labels.labels)))
        asked = f"model.predict_proba(rows)  # a column for each of {labels}\n"
    yield (
        "## How to load it\n\n"
        "```python\n"
        "import mlflow\n\n"
        f'model = mlflow.sklearn.load_model("runs:/{run_id}/model")\n'
        f"model.predict(rows)  # a frame with {columns}\n"
        f"{asked}```"
    )


def _of(training_set: TrainingSet, part: str) -> str:
    named = _partitions(training_set, part)
    return f" ({named})" if named else ""


def _partitions(training_set: TrainingSet, part: str) -> str:
    keys = training_set.partitions(part)
    if len(keys) <= _NAMED:
        return ", ".join(keys)
    return f"{len(keys):,} {training_set.dataset.partitions[0]} from {keys[0]} to {keys[-1]}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(_text(str(cell)) for cell in line)} |" for line in lines)


def _text(text: str) -> str:
    """Return text that breaks no table and is no markup."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
