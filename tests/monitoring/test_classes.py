"""Classifiers that are watched: what they predict, and on true classes, against their test rows."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from tests.outcomes import build_late, build_letters

from model_loop.errors import InvalidInputError
from model_loop.models.catalogue import get_family
from model_loop.models.class_metrics import log_losses, measure_classes
from model_loop.models.classification.clusters import Numbers
from model_loop.models.intervals import DaySpread, sums_by_day
from model_loop.models.search import SearchRequest
from model_loop.models.training import train
from model_loop.models.tuning import tune
from model_loop.monitoring.class_performance import judge_class_performance
from model_loop.monitoring.class_values import codes_of_labels, outcomes_of_texts, true_values
from model_loop.monitoring.drift import Inputs, drift_findings
from model_loop.monitoring.labels import labelled, read_labels
from model_loop.monitoring.levels import Level, WindowFinding, thresholds_of
from model_loop.monitoring.performance import PerformanceRules, ReferenceErrors
from model_loop.monitoring.profile import ClassProfile, VersionProfile, make_reference
from model_loop.monitoring.slices import measure_errors
from model_loop.monitoring.windows import Window, WindowRows, of_scored, read_request_log
from model_loop.objects.documents import record_of
from model_loop.objects.tree import to_tree
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.queries import note_feedback
from model_loop.serving.request_log.tables import open_log
from model_loop.settings import Settings
from model_loop.training_set.types import TrainingSet

THRESHOLDS = thresholds_of(Settings())
#: A single window is enough for a finding.
RULES = PerformanceRules(rows=500, windows=1, needed=1)
THRESHOLD = 0.4
ROWS = 6_000


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """Parcels that come late or not."""
    return build_late(tmp_path_factory.mktemp("late"))


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """Letters of three kinds."""
    return build_letters(tmp_path_factory.mktemp("letters"))


Make = Callable[..., WindowRows]


@pytest.fixture(scope="module")
def window(late: TrainingSet) -> Make:
    """A function that draws four weeks of parcels with probabilities and true classes."""
    start = pd.Timestamp("2024-06-03", tz="UTC")

    def made(
        share: float = -1.0,
        factor: float = 1.0,
        noise: float = 0.0,
        rows: int = ROWS,
        seed: int = 0,
    ) -> WindowRows:
        random = np.random.default_rng(seed)
        chances = expit(random.normal(share, 1.5, rows))
        told = expit(factor * (logit(chances) + random.normal(0, noise, rows)))
        days = np.arange(rows) * 28 // rows
        sent = (start.tz_localize(None) + pd.to_timedelta(days, "D")).astype("datetime64[us]")
        asked = pd.DataFrame(
            {
                "sent_at": sent,
                "carrier": random.choice(["ant", "bee", "cat"], rows),
                "weight": random.exponential(5, rows),
                "express": random.integers(0, 2, rows).astype(float),
            }
        )
        return WindowRows(
            window=Window.of_days(
                "late", start.to_pydatetime(), (start + pd.Timedelta(days=28)).to_pydatetime()
            ),
            source="month",
            rows=asked,
            predicted=told,
            versions=np.full(rows, 3),
            ids=np.arange(rows).astype(str).astype(object),
            actual=(random.random(rows) < chances).astype(np.float64),
        ).where(np.ones(rows, dtype=bool))

    def scoped(**changes: float) -> WindowRows:
        rows = made(**changes)  # type: ignore[arg-type]  # by name
        scope = dataclasses.replace(rows.window, trained=late.dataset)
        return dataclasses.replace(rows, window=scope)

    return scoped


def reference_of(rows: WindowRows) -> ReferenceErrors:
    """Return what a version came to, had these been its test rows."""
    losses = log_losses(rows.actual, rows.predicted)
    metrics = measure_classes(rows.actual, rows.predicted, THRESHOLD).named("test")
    _, *slices = measure_errors(rows)
    return ReferenceErrors(
        3,
        None,
        float(losses.mean()),
        {(each.slice, each.value): each.measured.mae for each in slices},
        DaySpread.of(sums_by_day(losses, rows.days())),
        metrics=metrics,
        threshold=THRESHOLD,
        classes=ClassProfile.of(rows.predicted, rows.dataset.target, THRESHOLD, rows.actual),
    )


def judged(now: WindowRows, then: WindowRows) -> dict[str, WindowFinding]:
    """Judge a window by another one, whose version it is."""
    found = judge_class_performance(now, reference_of(then), (), THRESHOLDS, RULES)
    return {finding.metric: finding for finding in found}


def alarms(found: dict[str, WindowFinding]) -> set[str]:
    """Return the metrics that warn or act."""
    return {name for name, one in found.items() if one.level in {Level.WARN, Level.ACT}}


@pytest.mark.parametrize("seed", range(1, 6))
def test_nothing_is_found_where_nothing_has_changed(window: Make, seed: int) -> None:
    """Every metric is known, and none warns."""
    found = judged(window(seed=seed), window())
    assert {*found} == {
        *("log_loss", "calibration", "precision", "recall", "label_shift", "slice_log_loss")
    }
    assert alarms(found) == set()
    assert not any(np.isnan(one.value) for one in found.values() if one.metric != "slice_log_loss")


def test_noise_in_the_probabilities_raises_the_log_loss(window: Make) -> None:
    """It acts, with the figures of both; the classes themselves are as before."""
    found = judged(window(noise=2.0, seed=1), window())
    assert found["log_loss"].level == Level.ACT
    assert "on the test rows" in found["log_loss"].note or "test" in found["log_loss"].note
    assert "label_shift" not in alarms(found)
    assert found["calibration"].level in {Level.WARN, Level.ACT}


def test_probabilities_that_are_too_sure_are_a_calibration_error(window: Make) -> None:
    """It is more than the same rows would show by chance."""
    found = judged(window(factor=2.0, seed=1), window())
    assert "calibration" in alarms(found)
    assert "by chance alone" in found["calibration"].note


def test_a_shift_of_the_labels_is_told_by_their_shares(window: Make) -> None:
    """Probabilities that follow it are no calibration error."""
    found = judged(window(share=0.5, seed=1), window())
    assert "label_shift" in alarms(found)
    assert "calibration" not in alarms(found)
    assert "were late at training" in found["label_shift"].note


def test_recall_falls_where_late_parcels_are_not_seen(window: Make) -> None:
    """Probabilities halve: fewer parcels are called late, at the threshold of the version."""
    now = window(seed=1)
    found = judged(dataclasses.replace(now, predicted=now.predicted / 2), window())
    assert "recall" in alarms(found)
    assert "precision" not in alarms(found)
    called = now.predicted / 2 >= THRESHOLD
    expected = reference_of(window()).metrics["test_recall"] - called[now.actual > 0].mean()
    assert found["recall"].value == pytest.approx(expected)


def test_few_positive_rows_say_nothing_of_recall(window: Make) -> None:
    """The number that is needed is said."""
    now = window(rows=600, seed=1)
    actual = np.zeros(600)
    actual[:20] = 1
    found = judged(dataclasses.replace(now, actual=actual), window())
    assert found["recall"].level == Level.UNKNOWN
    assert "20 rows that are positive" in found["recall"].note.replace("parcels", "rows")
    assert "30 are needed" in found["recall"].note


def test_a_day_that_went_wrong_is_chance(window: Make) -> None:
    """Rows of a single day whose classes were unlike all others prove nothing."""
    now = window(seed=1)
    odd = now.days() == now.days().min() + 3
    found = judged(dataclasses.replace(now, actual=np.where(odd, 1.0, now.actual)), window())
    assert found["log_loss"].value > 0.02
    assert "log_loss" not in alarms(found)


def test_few_rows_say_nothing(window: Make) -> None:
    """All findings are unknown, with the number that is needed."""
    found = judged(window(rows=300), window())
    assert {one.level for one in found.values()} == {Level.UNKNOWN}
    assert "500 are needed" in found["log_loss"].note


def test_the_worst_slice_is_a_warning_at_most(window: Make) -> None:
    """It is named, with its log loss and that of the test rows."""
    then, now = window(), window(seed=1)
    cut = reference_of(then)
    bee = (now.rows.carrier == "bee").to_numpy()
    predicted = np.where(bee, expit(-logit(now.predicted)), now.predicted)
    learned = dataclasses.replace(cut, slices={}, cuts=())
    assert learned.slices == {}
    from model_loop.models.slices import Cut

    cuts = (Cut("carrier", "carrier", values=("ant", "bee", "cat")),)
    _, *slices = measure_errors(then, cuts=cuts)
    known = {(each.slice, each.value): each.measured.mae for each in slices}
    reference = dataclasses.replace(cut, slices=known, cuts=cuts)
    wrong = dataclasses.replace(now, predicted=predicted)
    found = judge_class_performance(wrong, reference, (), THRESHOLDS, RULES)
    (worst,) = [one for one in found if one.metric == "slice_log_loss"]
    assert worst.level == Level.WARN
    assert "carrier bee" in worst.note


def drifted(profile: VersionProfile, predicted: Numbers, built: TrainingSet) -> dict[str, Level]:
    """Return the levels of findings about predictions."""
    rows = built.test_rows[list(built.recipe.columns)].head(len(predicted))
    inputs = Inputs(rows, predicted, None, built.dataset, 0.5)
    found = drift_findings(profile, inputs, THRESHOLDS, 100)
    return {one.what: one.level for one in found if one.metric in _OF_PREDICTIONS}


_OF_PREDICTIONS = ("class_drift", "mean_probability", "prediction_drift")


def trained(built: TrainingSet, name: str) -> tuple[VersionProfile, Numbers]:
    """Train a classifier; return its profile, and what it predicts of the test rows."""
    search = SearchRequest(max_evaluations=1, threads=1, primary_metric="log_loss")
    family = get_family(name, built.target.kind)
    model = train(tune(family, built, search), built, search, family)
    assert model.evaluation is not None
    columns = model.evaluation.predictions.drop(columns="actual").to_numpy(np.float64)
    profile = make_reference(model.model, built).profile
    assert record_of(VersionProfile, to_tree(profile)[0]) == profile
    return profile, columns[:, 0] if built.target.labels.is_binary else columns


def test_predicted_classes_are_compared_with_those_of_the_test_rows(late: TrainingSet) -> None:
    """Shares, mean probabilities and the score are as they were, or have drifted."""
    profile, predicted = trained(late, "linear_model.LogisticRegression")
    assert profile.classes is not None
    assert profile.classes.labels == ("in time", "late")
    assert sum(profile.classes.actual) == len(late.train_validation_target) + len(late.test_rows)
    assert profile.days is not None
    assert {*drifted(profile, predicted, late).values()} == {Level.OK}
    more = drifted(profile, np.clip(predicted * 0.5 + 0.5, 0, 1), late)
    assert more["class_drift(all)"] == Level.ACT
    assert more["mean_probability(late)"] == Level.ACT
    assert more["prediction_drift(all)"] == Level.ACT
    assert "mean_probability(in time)" not in more


def test_every_class_of_several_has_a_mean_probability(letters: TrainingSet) -> None:
    """A class that is hardly predicted any more is found, and so is its share."""
    profile, predicted = trained(letters, "linear_model.LogisticRegression")
    assert {*drifted(profile, predicted, letters).values()} == {Level.OK}
    gone = predicted * [1.0, 0.1, 1.0]
    found = drifted(profile, gone / gone.sum(axis=1, keepdims=True), letters)
    assert found["mean_probability(card)"] == Level.ACT
    assert found["class_drift(all)"] in {Level.WARN, Level.ACT}


def test_logged_probabilities_become_outcomes(late: TrainingSet, letters: TrainingSet) -> None:
    """By the label; of other classes, and where none is logged, they are unknown."""
    texts = pd.Series(['{"in time": 0.25, "late": 0.75}', None, '{"early": 0.5, "late": 0.5}'])
    np.testing.assert_array_equal(outcomes_of_texts(texts, late.target), [0.75, np.nan, np.nan])
    several = pd.Series([{"note": 0.2, "bill": 0.5, "card": 0.3}, None])
    found = outcomes_of_texts(several, letters.target)
    np.testing.assert_array_equal(found, [[0.5, 0.3, 0.2], [np.nan] * 3])
    codes = codes_of_labels(pd.Series(["late", None, "early", "in time"]), late.target)
    np.testing.assert_array_equal(codes, [1, np.nan, np.nan, 0])


def test_rows_of_a_partition_have_codes(late: TrainingSet) -> None:
    """The condition of the positive class is asked, as for training."""
    rows = pd.DataFrame({"days": [3.0, 9.0, np.nan]})
    np.testing.assert_array_equal(true_values(rows, late.dataset), [0, 1, np.nan])


def test_rows_without_all_probabilities_are_not_labelled(
    window: Make, letters: TrainingSet
) -> None:
    """Of several classes one that is unknown is enough."""
    rows = window(rows=4)
    predicted = np.array([[0.5, 0.3, 0.2], [np.nan] * 3, [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]])
    scope = dataclasses.replace(rows.window, trained=letters.dataset)
    several = dataclasses.replace(
        rows, predicted=predicted, actual=np.array([0, 1, np.nan, 2.0]), window=scope
    )
    assert labelled(several).actual.tolist() == [0, 2]


def test_labels_of_a_file_are_classes(tmp_path: Path, letters: TrainingSet) -> None:
    """They become codes; an unknown class is refused by its name."""
    file = tmp_path / "labels.csv"
    file.write_text("prediction_id,kind\na,card\nb,bill\n")
    frame = read_labels([str(file)], letters.dataset)
    assert frame["kind"].tolist() == [1.0, 0.0]
    file.write_text("prediction_id,kind\na,card\nb,stamp\n")
    with pytest.raises(InvalidInputError, match=r"Class 'stamp'.*bill, card, note"):
        read_labels([str(file)], letters.dataset)


def test_the_request_log_holds_outcomes_and_true_classes(tmp_path: Path, late: TrainingSet) -> None:
    """Probabilities by the label, and feedback by the label, whatever code it had on that day."""
    log = RequestLog(open_log("", tmp_path), LogRules(days=0))
    now, dataset = dt.datetime.now(tz=dt.UTC), late.dataset
    columns = list(dataset.columns.names)
    rows = late.test_rows.reindex(columns=columns).astype(object).head(3).to_numpy().tolist()
    for number, (row, chance) in enumerate(zip(rows, (0.2, 0.7, 0.9), strict=True)):
        chances = {"in time": 1 - chance, "late": chance}
        label = "late" if chance > 0.5 else "in time"
        about = (now.timestamp(), "late", 1, "champion", "me", None)
        entry = Entry(f"{number:032d}", *about, chance, 1.0, row)
        log.record(entry._replace(label=label, probabilities=chances))
    log._write_all()
    classes = dataset.target.labels
    known = {f"{0:032d}": "in time", f"{1:032d}": "late"}
    assert note_feedback(log.engine, known, "me", classes=classes) == []
    window = Window.of_days("late", now - dt.timedelta(days=1), now + dt.timedelta(days=1))
    found = read_request_log(log.engine, dataclasses.replace(window, trained=dataset))
    np.testing.assert_allclose(found.predicted, [0.2, 0.7, 0.9])
    np.testing.assert_array_equal(found.actual, [0, 1, np.nan])
    turned = dataclasses.replace(classes, labels=("late", "in time"), positive="in time")
    target = dataclasses.replace(dataset.target, classes=turned)
    other = dataclasses.replace(window, trained=dataclasses.replace(dataset, target=target))
    again = read_request_log(log.engine, other)
    np.testing.assert_allclose(again.predicted, [0.8, 0.3, 0.1])
    np.testing.assert_array_equal(again.actual, [1, 0, np.nan])


def test_scored_files_hold_outcomes(late: TrainingSet) -> None:
    """Their probabilities are read, and a file without them is refused."""
    scored = pd.DataFrame(
        {
            "sent_at": ["2024-06-01 08:00:00"] * 2,
            "carrier": ["ant", "bee"],
            "weight": [1.5, 2.0],
            "express": ["yes", "no"],
            "prediction": ["late", "in time"],
            "probabilities": ['{"in time": 0.25, "late": 0.75}', '{"in time": 0.9, "late": 0.1}'],
            "model_version": [3, 3],
            "prediction_id": ["a", "b"],
        }
    )
    start = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
    window = dataclasses.replace(
        Window.of_days("late", start, start + dt.timedelta(days=1)), trained=late.dataset
    )
    found = of_scored([scored], window, late.recipe.columns)
    assert found.predicted.tolist() == [0.75, 0.1]
    with pytest.raises(InvalidInputError, match="without probabilities"):
        of_scored([scored.drop(columns="probabilities")], window, late.recipe.columns)


def test_labels_of_a_condition_are_values_or_classes(tmp_path: Path, late: TrainingSet) -> None:
    """Days are compared as the declaration says; words are the classes themselves."""
    file = tmp_path / "labels.csv"
    for written in ("9.5,2,", "late,in time,"):
        first, second, third = written.split(",")
        file.write_text(f"prediction_id,days\na,{first}\nb,{second}\nc,{third}\n")
        frame = read_labels([str(file)], late.dataset)
        np.testing.assert_array_equal(frame["days"], [1, 0, np.nan])
    file.write_text("prediction_id,days\na,9.5\nb,soon\n")
    with pytest.raises(InvalidInputError, match=r"Class 'soon'.*in time, late"):
        read_labels([str(file)], late.dataset)
