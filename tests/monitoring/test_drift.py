"""Drift: found and named where there is some, and nowhere else."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from tests.monitoring.conftest import LEAST, Look

from model_loop.models.explanation import by_feature, shap_by_feature
from model_loop.models.training import TrainedModel
from model_loop.monitoring.drift import Inputs, drift_findings
from model_loop.monitoring.features import Bins, features
from model_loop.monitoring.levels import Level, WindowFinding, gravest_first, thresholds_of, worst
from model_loop.monitoring.profile import ReferenceProfile, VersionProfile
from model_loop.monitoring.psi import psi, psi_beyond_chance, psi_by_chance
from model_loop.objects.tree import from_tree, to_tree
from model_loop.settings import Settings
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS
from trip_duration.sample_options import Drift
from trip_duration.services import (
    DISTANCE,
    DROPOFF_ZONE,
    PASSENGERS,
    PICKUP_TIME,
    PICKUP_ZONE,
)
from trip_duration.training_set.encoders.sources import sources

THRESHOLDS = thresholds_of(Settings())


def of(findings: list[WindowFinding], metric: str, subject: str) -> WindowFinding:
    """One finding."""
    (found,) = (one for one in findings if (one.metric, one.subject) == (metric, subject))
    return found


@pytest.mark.parametrize("month", ["2024-06", "2024-07"])
@pytest.mark.parametrize("trips", [600, 3_000])
def test_usual_months_are_well(look: Look, month: str, trips: int) -> None:
    """No finding of a month like those before reaches a threshold, large or small."""
    findings = look(month=month, trips=trips)
    assert worst(findings) is Level.OK, [str(one) for one in gravest_first(findings)[:3]]


@pytest.mark.parametrize(
    ("drift", "metric", "subject"),
    [
        (Drift(distance_factor=1.5), "psi", DISTANCE),
        (Drift(zone_shift=0.4), "psi", PICKUP_ZONE),
        (Drift(rush_hour_shift=4), "psi", "hour"),
        (Drift(new_zone=1), "unseen_share", PICKUP_ZONE),
        (Drift(missing_share=0.4), "missing_change", PASSENGERS),
    ],
    ids=str,
)
def test_drift_is_found_and_named(look: Look, drift: Drift, metric: str, subject: str) -> None:
    """Each kind reaches the level of acting, and its own feature says so."""
    assert of(look(drift), metric, subject).level is Level.ACT


def test_slower_streets_change_no_input(look: Look) -> None:
    """Nothing that is asked has changed: only errors can tell."""
    assert worst(look(Drift(speed_factor=0.75))) is Level.OK


@pytest.mark.parametrize("count", [0, 1, LEAST - 1])
def test_few_trips_say_nothing(reference: ReferenceProfile, count: int) -> None:
    """Empty, a single row, and one too few are unknown, and say so."""
    profile = reference.profile
    trips = reference.sample[list(profile.columns)].head(count)
    findings = drift_findings(profile, Inputs(trips, np.zeros(count)), THRESHOLDS, LEAST)
    assert {one.level for one in findings} == {Level.UNKNOWN}
    assert f"{count:,} trips" in findings[0].note


def test_a_feature_that_is_gone_is_named(reference: ReferenceProfile) -> None:
    """All of it missing: its PSI is unknown, its missing share says act, others are judged."""
    profile, trips = reference.profile, reference.sample[list(reference.profile.columns)]
    gone = trips.assign(**{PASSENGERS: np.nan})
    findings = drift_findings(profile, Inputs(gone, np.zeros(0)), THRESHOLDS, LEAST)
    assert of(findings, "psi", PASSENGERS).level is Level.UNKNOWN
    assert of(findings, "missing_change", PASSENGERS).level is Level.ACT
    assert of(findings, "psi", DISTANCE).level is Level.OK
    assert of(findings, "prediction_drift", "all").level is Level.UNKNOWN


def test_an_hour_says_nothing_of_hours(reference: ReferenceProfile) -> None:
    """Of a window that is shorter than a day, or a week, hours and weekdays are not judged."""
    trips = reference.sample[list(reference.profile.columns)]
    start = trips[PICKUP_TIME].min()
    for length, unknown in (("1h", {"hour", "weekday"}), ("2D", {"weekday"})):
        spread = pd.date_range(start, start + pd.Timedelta(length), len(trips))
        findings = drift_findings(
            reference.profile,
            Inputs(trips.assign(**{PICKUP_TIME: spread}), np.zeros(0)),
            THRESHOLDS,
            LEAST,
        )
        found = {one.subject for one in findings if one.metric == "psi" and math.isnan(one.value)}
        assert found == unknown


def test_psi_is_the_formula_and_chance_is_subtracted() -> None:
    """By hand on two bins; samples of one distribution have the PSI that theory gives them."""
    then, now = np.array([50, 50]), np.array([80, 20])
    assert psi(then, now) == pytest.approx(0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5))
    assert psi(np.array([100, 0]), np.array([90, 10])) == pytest.approx(
        -0.1 * np.log(0.9) + (0.1 - 0.0001) * np.log(0.1 / 0.0001)
    )
    # One trip in a bin that was empty counts, whichever side it is on.
    one, none = np.array([99, 1]), np.array([100, 0])
    expected = -0.01 * np.log(0.99) + (0.01 - 0.0001) * np.log(0.01 / 0.0001)
    for pair in ((none, one), (one, none)):
        assert psi(*pair) == pytest.approx(expected)
        assert psi_by_chance(*pair) == pytest.approx(0.02)
    assert math.isnan(psi(then, np.zeros(2, dtype=np.int64)))
    random, shares = np.random.default_rng(1), np.full(20, 1 / 20)
    drawn = [
        (random.multinomial(2_000, shares), random.multinomial(700, shares)) for _ in range(400)
    ]
    mean = np.mean([psi(a, b) for a, b in drawn])
    assert mean == pytest.approx(psi_by_chance(*drawn[0]), rel=0.1)
    assert np.mean([psi_beyond_chance(a, b) for a, b in drawn]) < 0.3 * mean


def test_psi_agrees_with_evidently(reference: ReferenceProfile) -> None:
    """On the same bins, both give the same number."""
    from evidently.legacy.calculations.stattests.psi import _psi
    from evidently.legacy.core import ColumnType

    trips = reference.sample[list(reference.profile.columns)]
    now = trips.sample(len(trips), replace=True, random_state=1, weights=trips[DISTANCE] + 0.1)
    for feature in reference.profile.features:
        bins, name = feature.bins, feature.bins.name
        before, after = (bins.codes(features(some, TRIPS)[name]) for some in (trips, now))
        before, after = before[before >= 0], after[after >= 0]
        ours = psi(*(np.bincount(codes, minlength=bins.size) for codes in (before, after)))
        theirs, _ = _psi(
            pd.Series(before).astype(str), pd.Series(after).astype(str), ColumnType.Categorical, 0.1
        )
        assert ours == pytest.approx(theirs, abs=1e-9), name


def test_shap_by_feature_is_the_direct_computation(
    trained: TrainedModel, sample_training_set: TrainingSet
) -> None:
    """XGBoost's own contributions, column by column, shared among what each column is made of."""
    model, trips = trained.model, sample_training_set.example_rows
    found = shap_by_feature(model, trips)
    encoded = model[:-1].transform(trips)
    booster = model.named_steps["estimate"]
    direct = booster.booster_.predict(
        xgb.DMatrix(encoded), pred_contribs=True, iteration_range=(0, booster.best_rounds_)
    )
    names = list(model[:-1].get_feature_names_out())
    distance = sum(
        direct[:, place] / len(sources(name))
        for place, name in enumerate(names)
        if DISTANCE in sources(name)
    )
    np.testing.assert_allclose(found[DISTANCE], distance, rtol=1e-5)
    # Nothing is lost: all features and the base are the prediction.
    predicted = model.predict(trips)
    np.testing.assert_allclose(found.sum(axis=1) + direct[:, -1], predicted, rtol=1e-4)
    assert set(found) <= set(features(trips, TRIPS))


def test_shared_columns_are_shared_equally() -> None:
    """A column of a pair belongs half to each zone; an unknown one to itself."""
    values = np.array([[2.0, 1.0, 5.0]])
    found = by_feature(values, [*map(sources, ["PU_DO=74_75", "trip_distance", "temperature"])])
    assert found.iloc[0].to_dict() == {
        PICKUP_ZONE: 1.0,
        DROPOFF_ZONE: 1.0,
        DISTANCE: 1.0,
        "temperature": 5.0,
    }


def test_a_profile_survives_json_and_stays_small(reference: ReferenceProfile) -> None:
    """A stored profile is the same, is small, and holds no trip but the sample."""
    content = json.dumps(to_tree(reference.profile)[0])
    assert len(content) < 40_000
    found = from_tree(json.loads(content), {})
    assert isinstance(found, VersionProfile)
    assert found.features == reference.profile.features
    assert set(reference.sample) == {*reference.profile.columns, "prediction"}


def test_a_model_without_trees_has_no_shap_drift(reference: ReferenceProfile) -> None:
    """It is unknown, with the reason; the rest is judged."""
    trips = reference.sample[list(reference.profile.columns)]
    profile = replace(reference.profile, shap=None)
    findings = drift_findings(profile, Inputs(trips, np.zeros(0)), THRESHOLDS, LEAST)
    assert "not made of trees" in of(findings, "shap_drift", "all").note
    assert worst(findings) is Level.OK


def test_bins_are_fixed_at_training() -> None:
    """Rare categories share a bin, new ones have their own; missing values are in none."""
    values = np.array([1.0] * 500 + [2.0] * 499 + [3.0])
    bins = Bins.of_category("zone", values)
    assert (bins.categories, bins.rare) == ((1, 2), (3,))
    np.testing.assert_array_equal(
        bins.codes(np.array([1.0, 2.0, 3.0, 4.0, np.nan])), [0, 1, 2, 3, -1]
    )
    numbers = Bins.of_number("distance", np.arange(1_000.0))
    assert numbers.size == 10
    assert numbers.counts(np.array([-5.0, 0.0, 2_000.0, np.nan])).tolist() == [2, *[0] * 8, 1]
