"""Monitoring of a declared table: texts, missing values, clocks, and labels that come later."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from tests.heating import heating, heating_rows

from model_loop.datasets.dataset import Dataset, Variant
from model_loop.datasets.registry import use_dataset
from model_loop.errors import InvalidInputError
from model_loop.monitoring.drift import Inputs, drift_findings
from model_loop.monitoring.features import Bins, bins_of, features
from model_loop.monitoring.labels import label_keys, match_labels, match_partition
from model_loop.monitoring.levels import Level, WindowFinding, thresholds_of
from model_loop.monitoring.performance import ReferenceErrors, judge_performance
from model_loop.monitoring.profile import FeatureProfile, ShapProfile, VersionProfile
from model_loop.monitoring.windows import Window, WindowRows, of_rows
from model_loop.objects.tree import from_tree, to_tree
from model_loop.settings import Settings

THRESHOLDS = thresholds_of(Settings())


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """The table of heated buildings."""
    return heating()


def month_of(rows: pd.DataFrame) -> WindowRows:
    """April as a window."""
    april = Window.of_partition("heating", "2024-04")
    columns = [name for name in map(str, rows) if name != "load"]
    return of_rows(april, rows, columns)


def profile_of(rows: pd.DataFrame, dataset: Dataset) -> VersionProfile:
    """Profile rows as those that a version has learned from."""
    columns = tuple(name for name in map(str, rows) if name != "load")
    known = features(rows[list(columns)], dataset)
    made = tuple(FeatureProfile.of(bins_of(name, one, dataset), one) for name, one in known.items())
    predictions = rows["load"].to_numpy()
    spread = FeatureProfile.of(Bins.of_number("prediction", predictions), predictions)
    return VersionProfile("heating", "digest", "heating.csv", columns, made, spread, None)


def look(then: pd.DataFrame, now: pd.DataFrame, dataset: Dataset) -> dict[str, WindowFinding]:
    """Return the findings by metric and subject."""
    found = drift_findings(
        profile_of(then, dataset),
        Inputs(now.drop(columns="load"), now["load"].to_numpy()),
        THRESHOLDS,
        500,
    )
    return {one.what: one for one in found}


def test_features_follow_the_columns(dataset: Dataset) -> None:
    """Texts stay texts, yes and no become numbers, the time its hour and weekday."""
    rows = pd.DataFrame(
        {
            "measured_at": pd.to_datetime(["2024-04-01 07:30", "NaT"]),
            "building": pd.Categorical(["pool", None]),
            "occupied": pd.array([True, None], dtype="boolean"),
            "temperature": [np.nan, 3.5],
        }
    )
    found = features(rows, dataset)
    assert list(found) == ["hour", "weekday", "building", "occupied", "temperature"]
    np.testing.assert_array_equal(found["hour"], [7, np.nan])
    np.testing.assert_array_equal(found["weekday"], [0, np.nan])
    assert found["building"].tolist() == ["pool", None]
    np.testing.assert_array_equal(found["occupied"], [1, np.nan])
    renamed = features(
        rows.rename(columns={"measured_at": "read_at"}),
        dataclasses.replace(
            dataset,
            columns=type(dataset.columns)(
                dataclasses.replace(one, name="read_at") if one.kind == "time" else one
                for one in dataset.columns
            ),
        ),
    )
    assert list(renamed)[:2] == ["read_at_hour", "read_at_weekday"]


def test_texts_have_bins_that_survive_being_stored() -> None:
    """Common, rare and unseen texts have different bins, also after JSON."""
    values = np.array(["a"] * 600 + ["b"] * 399 + ["c"], dtype=object)
    bins = Bins.of_category("letter", values)
    stored = from_tree(to_tree(bins)[0], {})
    assert stored == bins == Bins("letter", "category", (), ("a", "b"), ("c",))
    asked = np.array(["b", "a", "c", "d", None], dtype=object)
    assert stored.codes(asked).tolist() == [1, 0, 2, 3, -1]
    assert stored.counts(asked).tolist() == [1, 1, 1, 1]


def test_drift_of_a_declared_table_is_named(dataset: Dataset) -> None:
    """A sound month is well; a new text, more missing values and another unit are not."""
    then, now = heating_rows("2024-03"), heating_rows("2024-04")
    assert {one.level for one in look(then, now, dataset).values()} <= {Level.OK, Level.UNKNOWN}
    worse = now.assign(
        building=now.building.replace("pool", "baths"),
        temperature=now.temperature.where(np.arange(len(now)) % 2 == 0),
        area=now.area * 10,
    )
    found = look(then, worse, dataset)
    assert found["unseen_share(building)"].level is Level.ACT
    assert found["unseen_share(building)"].note == "new: baths"
    assert found["missing_change(temperature)"].level is Level.ACT
    assert found["psi(area)"].level is Level.ACT
    assert "unseen_share(occupied)" in found


def test_notes_are_in_the_words_of_the_dataset(dataset: Dataset) -> None:
    """Too few rows are rows, and contributions are in the unit of the target."""
    rows = heating_rows("2024-04", 600)
    few = look(rows, rows.head(10), dataset)
    assert few["psi_average(all)"].note == "10 rows, of the 500 that are needed"
    shap = pd.DataFrame({"area": np.full(100, 4.0)})
    profile = dataclasses.replace(profile_of(rows, dataset), shap=ShapProfile.of(shap))
    inputs = Inputs(rows.drop(columns="load"), rows["load"].to_numpy(), shap)
    found = {one.what: one for one in drift_findings(profile, inputs, THRESHOLDS, 500)}
    assert found["shap_drift(area)"].note == "4.00 kWh on average at training, 4.00 now"


def test_a_profile_of_an_earlier_version_is_read(dataset: Dataset) -> None:
    """Its fields had other names."""
    rows = heating_rows("2024-04", 600)
    shap = ShapProfile.of(pd.DataFrame({"area": [1.0, 2.0]}))
    profile = dataclasses.replace(profile_of(rows, dataset), shap=shap)
    stored, _ = to_tree(profile)
    stored = {**stored, "format": "version_profile/1", "service": stored.pop("variant")}
    stored["shap"] = {**stored["shap"], "format": "shap_profile/1"}
    stored["shap"]["trips"] = stored["shap"].pop("rows")
    assert from_tree(stored, {}) == profile


def test_a_month_begins_at_midnight_of_the_place() -> None:
    """In April, Paris is two hours before UTC."""
    window = month_of(heating_rows("2024-04", 10)).window
    assert window.start == dt.datetime(2024, 3, 31, 22, tzinfo=dt.UTC)
    assert window.end == dt.datetime(2024, 4, 30, 22, tzinfo=dt.UTC)


def test_true_values_come_two_days_after_the_time_of_a_row(dataset: Dataset) -> None:
    """Until then they are awaited, as the file says; of rows without a time, after the request."""
    window = _unlabelled(heating_rows("2024-04", 4))
    times = pd.Series(pd.to_datetime(["2024-04-01", "2024-04-02", "NaT", "NaT"]))
    asked = np.array([dt.datetime(2024, 4, day, tzinfo=dt.UTC).timestamp() for day in (1, 1, 2, 3)])
    rows = window.rows.assign(measured_at=times)
    window = dataclasses.replace(window, rows=rows, asked=asked)
    at = dt.datetime(2024, 4, 3, 22, tzinfo=dt.UTC)
    assert window.awaited(at).tolist() == [False, False, True, True]
    earlier = at - dt.timedelta(seconds=1)
    assert window.awaited(earlier).tolist() == [False, True, True, True]
    known = dataclasses.replace(window, actual=np.array([np.nan, np.nan, np.nan, 1.0]))
    assert known.awaited(at).tolist() == [False, False, True, False]
    bare = dataclasses.replace(dataset, name="bare", declaration=None)
    use_dataset(dataclasses.replace(bare, variants={"bare": Variant("bare", "Bare", "bare")}))
    other = dataclasses.replace(window, window=dataclasses.replace(window.window, variant="bare"))
    assert not other.awaited(earlier).any()


def test_labels_that_come_later_are_not_called_lacking(dataset: Dataset) -> None:
    """They have a number of their own, and a window of them says so."""
    rows = heating_rows("2024-04", 4)
    future = pd.Timestamp.now().floor("s") + pd.Timedelta(days=1)
    rows["measured_at"] = rows["measured_at"].where(np.arange(4) < 3, future)
    window = _unlabelled(rows)
    labels = rows.iloc[[0, 0]][["building", "measured_at", "load"]]
    _, report = match_labels(window, labels, dataset)
    assert (report.matched, report.ambiguous, report.unmatched, report.awaited) == (1, 0, 2, 1)
    assert "1 whose true value comes later" in str(report)
    found = judge_performance(
        window.where(np.zeros(4, dtype=bool)),
        ReferenceErrors(1, 1.0, 1.0),
        (),
        THRESHOLDS,
        awaited=report.awaited,
    )
    assert {one.level for one in found} == {Level.UNKNOWN}
    assert found[0].note == (
        "0 labelled rows, 500 are needed; the true values of 1 more come later"
    )


def _unlabelled(rows: pd.DataFrame) -> WindowRows:
    window = month_of(rows)
    return dataclasses.replace(window, actual=np.full(len(window), np.nan))


def test_labels_are_matched_by_keys_as_by_hand(dataset: Dataset) -> None:
    """One label, none and several: counted as a loop over all pairs counts them."""
    rows = heating_rows("2024-04", 300).assign(
        building=lambda known: known.building.where(np.arange(300) % 50 > 0, None)
    )
    window = _unlabelled(rows)
    labels = rows.iloc[50:].dropna(subset=["building"])[["building", "measured_at", "load"]]
    twins = labels.iloc[:20].assign(load=1.0)
    without = labels.iloc[[-1]].assign(load=np.nan)
    labels = pd.concat([labels.iloc[:-1], twins, without], ignore_index=True)
    found, report = match_labels(window, labels, dataset)
    counts: Counter[str] = Counter()
    known = labels.to_dict(orient="records")
    for number, asked in enumerate(rows.to_dict(orient="records")):
        agree = [
            one["load"]
            for one in known
            if (one["building"], one["measured_at"]) == (asked["building"], asked["measured_at"])
            and not np.isnan(one["load"])
        ]
        kind = ("unmatched", "matched", "ambiguous")[min(len(agree), 2)]
        counts["elsewhere" if pd.isna(asked["building"]) else kind] += 1
        if len(agree) == 1:
            assert found.actual[number] == agree[0]
        else:
            assert np.isnan(found.actual[number])
    told = dataclasses.asdict(report)
    assert {name: told[name] for name in counts} == dict(counts)
    assert counts.total() == report.predictions == 300
    assert match_partition(window, labels)[1] == report


def test_labels_are_matched_by_id_and_feedback_stays(dataset: Dataset) -> None:
    """With any keys beside the ids."""
    window = _unlabelled(heating_rows("2024-04", 5))
    known = dataclasses.replace(window, actual=np.array([9.0, *[np.nan] * 4]))
    labels = pd.DataFrame({"prediction_id": ["0", "1", "3", "3", "99"], "load": range(5)})
    found, report = match_labels(known, labels, dataset)
    np.testing.assert_array_equal(found.actual, [9.0, 1.0, np.nan, np.nan, np.nan])
    assert (report.told, report.matched, report.ambiguous, report.unmatched) == (1, 1, 1, 2)


def test_times_of_labels_are_read_as_those_of_requests(dataset: Dataset) -> None:
    """A text without an offset is in the zone that the file names."""
    window = _unlabelled(heating_rows("2024-04", 3))
    stored = window.rows["measured_at"].dt.tz_localize("Europe/Paris").dt.tz_convert("UTC")
    labels = pd.DataFrame(
        {
            "building": window.rows["building"],
            "measured_at": stored.dt.strftime("%Y-%m-%d %H:%M:%S"),
            "load": [1.0, 2.0, 3.0],
        }
    )
    found, _ = match_labels(window, labels, dataset)
    assert found.actual.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        (["prediction_id"], "lack the target load"),
        (["building", "load"], "lack measured_at"),
    ],
)
def test_labels_that_nothing_is_found_by_are_refused(
    dataset: Dataset, columns: list[str], rule: str
) -> None:
    """With what is lacking."""
    with pytest.raises(InvalidInputError, match=rule):
        label_keys(columns, dataset)
    bare = dataclasses.replace(dataset, declaration=None)
    with pytest.raises(InvalidInputError, match="declares no keys"):
        label_keys(["load", "building"], bare)
