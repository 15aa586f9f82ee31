"""What the gate compares: trips of one source that neither version has learned from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow.exceptions import MlflowException
from sklearn.dummy import DummyRegressor
from sklearn.pipeline import make_pipeline
from tests.orchestration.test_retraining import Store

from model_loop.datasets.dataset import Moment
from model_loop.errors import InvalidInputError, StoredObjectError
from model_loop.intervals.adaptive import NO_CORRECTION
from model_loop.models.gate import Check, GateVerdict
from model_loop.models.search import SearchRequest
from model_loop.models.training import TrainedModel, train
from model_loop.models.tuning import tune
from model_loop.objects.documents import text_of
from model_loop.orchestration.alerts import announcements
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.forms import promotion_form, retraining_form
from model_loop.orchestration.steps import judging, promotion, retraining
from model_loop.settings import get_settings
from model_loop.tracking.challengers import latest_challengers
from model_loop.tracking.corrections import (
    correction_of,
    correction_tag,
    keep_correction,
    widening_of,
)
from model_loop.tracking.deployments import BROUGHT_IN, registered_name
from model_loop.tracking.downloads import read_artifact
from model_loop.tracking.lineage import find_lineage, lineage_of, log_lineage
from model_loop.tracking.models import champion_errors
from model_loop.tracking.names import INTERVALS, MODEL_CARD
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import load_registered, register_model, save_model
from model_loop.tracking.runs import Tracker, training_set_tags
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.types import TrainingSet
from trip_duration.dataset import TRIPS
from trip_duration.months import MonthSplit, parse_months
from trip_duration.sample import write_month
from trip_duration.sample_options import SampleOptions
from trip_duration.services import get_service
from trip_duration.training_set.request import TrainingSetRequest

#: Assets of the dataset.
PUBLISHED_MONTHS, DRIFT = assets_of(TRIPS).published, assets_of(TRIPS).drift

pytestmark = pytest.mark.integration

GREEN = get_service("green")
SEARCH = SearchRequest(max_evaluations=1, threads=1)
LINEAR = "linear_model.LinearRegression"
NAME = registered_name("green")
ACCEPTED = "SAMPLE data accepted by accept_generated_data in place of real data (folder)"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of months that do not say that they are generated, as published ones do not."""
    folder = tmp_path_factory.mktemp("published")
    for month in parse_months("2024-01..2024-05"):
        path = folder / f"green_tripdata_{month}.parquet"
        write_month(path, GREEN, month, SampleOptions(trips=1_500, seed=3))
        pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    return folder


@pytest.fixture(autouse=True)
def registry(tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty registry that the steps of the DAG find."""
    monkeypatch.setenv("MODEL_LOOP_TRACKING_URI", tracker.tracking_uri)
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", f"file://{tmp_path}/storage")
    get_settings.cache_clear()
    _forget(tracker)
    yield
    _forget(tracker)


def _forget(tracker: Tracker) -> None:
    try:
        tracker.client.delete_registered_model(NAME)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def training_set(
    source: str | Path, train_months: str, validation: str, test: str, recipe: str = "rich"
) -> TrainingSet:
    """Build a training set of some months."""
    request = TrainingSetRequest(
        str(source),
        "green",
        MonthSplit.parse(train_months, validation, test),
        recipe,
        sample=SampleOptions(trips=1_500, seed=3),
    )
    return build_training_set(request, storage_root=get_settings().storage_root)


#: Models by training set and family: the same fit would be made up to nine times.
_TRAINED: dict[tuple[str, str], TrainedModel] = {}


def registered(
    tracker: Tracker, built: TrainingSet, *, lineage: bool = True, family: str = LINEAR
) -> int:
    """Train a model and register it, as the training DAGs do; return its version."""
    key = (built.digest, family)
    if key not in _TRAINED:
        _TRAINED[key] = train(tune(family, built, SEARCH), built, SEARCH)
    trained = _TRAINED[key]
    run_id = tracker.open_run(f"judging/{np.random.default_rng().integers(2**60)}", "model", {})
    if lineage:
        log_lineage(tracker, run_id, lineage_of(trained, built, SEARCH))
    return register_model(
        tracker,
        run_id,
        trained.model,
        name=NAME,
        example=built.example_rows,
        tags=training_set_tags(built),
    ).version


def form(**values: Any) -> dict[str, Any]:
    """Fill in the form of the DAG."""
    filled = {name: param.resolve() for name, param in promotion_form(TRIPS).items()}
    return {**filled, "who": "Ada", "why": "a test", **values}


def dag_run(name: str) -> Any:
    """Stand for a run of the DAG."""
    return SimpleNamespace(
        dag_id="promotion",
        run_id=f"{name}/{np.random.default_rng().integers(2**60)}",
        triggering_user_name="ada",
        run_type=SimpleNamespace(value="manual"),
    )


def crown(version: int, **values: Any) -> dict[str, Any]:
    """Make a version champion by hand, through the step of the DAG."""
    return promotion.move(form(version=version, gate=False, **values), dag_run("crown"))


def judged(version: int | None, **values: Any) -> GateVerdict:
    """Let the gate judge a version, through the step of the DAG."""
    return judging.compare_with_champion(form(version=version, **values), dag_run("judge"))


def promoter(moment: Moment = "ended") -> Promoter:
    """Return the promoter of a moment; the recipes `rich` and `pair_distance` are asked last."""
    settings = get_settings()
    tracker = Tracker(settings.tracking_uri, "trip-duration-promotion")
    return Promoter(tracker, "green", moment)


def check(verdict: GateVerdict, name: str) -> Check:
    """Find one check of a verdict."""
    return next(one for one in verdict.checks if one.name.startswith(name))


def test_a_champion_that_has_seen_the_test_months_is_not_compared(
    tracker: Tracker, published: Path
) -> None:
    """Where it has learned from all of them, the gate refuses and says which months to choose."""
    crown(registered(tracker, training_set(published, "2024-02", "2024-03", "2024-04")))
    again = registered(tracker, training_set(published, "2024-01", "2024-02", "2024-03"))
    verdict = judged(again)
    assert not verdict.passed
    unseen = check(verdict, "unseen test trips")
    assert unseen.found == "none: 2024-03, from which version 1 has learned"
    assert "train with test_months after 2024-03" in unseen.wanted
    assert not [one for one in verdict.checks if one.name.startswith("RMSE")]


def test_what_either_has_seen_is_left_out(tracker: Tracker, published: Path) -> None:
    """Of two test months the unseen one is judged by, and the figures are of it alone."""
    crown(registered(tracker, training_set(published, "2024-02", "2024-03", "2024-04")))
    both = training_set(published, "2024-01", "2024-02", "2024-03..2024-04")
    verdict = judged(registered(tracker, both))
    unseen = check(verdict, "unseen test trips")
    april = both.test_rows[both.test_rows.pickup_datetime >= "2024-04-01"]
    assert unseen.passed
    assert unseen.found.startswith(f"{len(april):,} trips of 2024-04 (real data (folder))")
    assert "left out of the comparison: 2024-03, from which version 1 has learned" in unseen.found
    trained = train(tune(LINEAR, both, SEARCH), both, SEARCH).model
    errors = trained.predict(april.drop(columns="duration")) - april.duration
    rmse = float(np.sqrt((errors**2).mean()))
    assert check(verdict, "RMSE against version 1").found.startswith(f"{rmse:.3f} against")
    assert any("2024-03" in remark for remark in verdict.remarks)


def test_a_month_is_the_same_in_every_version_of_its_file(
    tracker: Tracker, published: Path, tmp_path: Path
) -> None:
    """A file that was published anew, with another digest, holds the trips of the same month."""
    crown(registered(tracker, training_set(published, "2024-02", "2024-03", "2024-04")))
    for file in published.glob("*.parquet"):
        pq.write_table(pq.read_table(file).slice(1), tmp_path / file.name)
    anew = registered(tracker, training_set(tmp_path, "2024-01", "2024-02", "2024-03"))
    assert not check(judged(anew), "unseen test trips").passed


def test_another_recipe_of_the_same_moment_is_judged(tracker: Tracker, published: Path) -> None:
    """What the champion asks for beyond the challenger's recipe is read from the test months."""
    months = ("2024-01", "2024-02", "2024-03")
    crown(registered(tracker, training_set(published, *months)))
    plain = training_set(published, *months, recipe="pair_distance")
    verdict = judged(registered(tracker, plain))
    assert " against " in check(verdict, "RMSE against version 1").found
    assert check(verdict, "inputs beside").found == "the same or fewer"
    assert (verdict.recipe, verdict.moment) == ("pair_distance", "ended")


def test_a_recipe_that_asks_for_more_is_judged_by_the_same_rows(
    tracker: Tracker, published: Path
) -> None:
    """What callers have to give beyond the champion's is no bar, and the history repeats it."""
    months = ("2024-01", "2024-02", "2024-03")
    crown(registered(tracker, training_set(published, *months, recipe="pair_distance")))
    verdict = judged(registered(tracker, training_set(published, *months)))
    assert verdict.passed, verdict.markdown
    rmse = check(verdict, "RMSE against version 1")
    assert " against " in rmse.found
    told = "callers have to give pickup_datetime, which the champion does without"
    assert check(verdict, "inputs beside").found == told
    assert told in verdict.remarks


def test_a_model_from_elsewhere_may_ask_for_what_the_champion_does_without(
    tracker: Tracker, published: Path, tmp_path: Path
) -> None:
    """Its own columns give its example and its moment; another moment's champion bars nothing."""
    months = ("2024-01", "2024-02", "2024-03")
    crown(registered(tracker, training_set(published, *months, recipe="booking")))
    rich = training_set(published, *months)
    theirs = train(tune(LINEAR, rich, SEARCH), rich, SEARCH).model
    save_model(theirs, tmp_path / "storage" / "incoming" / "theirs", rich.example_rows)
    verdict = judged(None, model="theirs")
    assert (verdict.moment, verdict.champion) == ("ended", None)
    loaded = load_registered(tracker, NAME, verdict.challenger)
    assert loaded.example is not None
    assert loaded.example.trip_distance.gt(0).all()
    assert check(verdict, "RMSE against the ").found


@pytest.mark.parametrize("action", ["canary", "shadow"])
def test_generated_data_answer_beside_published_only_by_the_same_word(
    tracker: Tracker, published: Path, action: str
) -> None:
    """A share of the requests, or all of them unseen: the history repeats that it was accepted."""
    months = ("2024-01", "2024-02", "2024-03")
    crown(registered(tracker, training_set(published, *months)))
    values = {"action": action, "version": registered(tracker, training_set("sample", *months))}
    with pytest.raises(InvalidInputError, match="set accept_generated_data in the form"):
        promotion.move(form(**values), dag_run("refused"))
    promotion.move(form(**values, accept_generated_data=True), dag_run("accepted"))
    assert promoter().history()[0].remarks == ACCEPTED


def test_a_retraining_that_could_lead_to_nothing_is_refused_at_once(
    tracker: Tracker, published: Path
) -> None:
    """Generated trips do not replace a real champion: the plan says so, and what to do."""
    crown(registered(tracker, training_set(published, "2024-01", "2024-02", "2024-03", "booking")))
    filled = {name: param.resolve() for name, param in retraining_form(TRIPS).items()}
    filled |= {"service": "green", "source": "sample", "newest_month": "2024-04"}

    def plan(**values: Any) -> Any:
        stores = dict.fromkeys((PUBLISHED_MONTHS, DRIFT), Store())
        return retraining.plan_retraining({**filled, **values}, dag_run("plan"), {}, stores)

    with pytest.raises(InvalidInputError, match=r"the gate would refuse it.*Name the source"):
        plan()
    for accepted in ({"accept_generated_data": True}, {"promote": False}, {"recipe": "rich"}):
        assert plan(**accepted) is not None, accepted


def test_what_a_model_from_elsewhere_has_learned_from_is_not_known(
    tracker: Tracker, published: Path
) -> None:
    """The verdict says so, and so do the history's evidence and its remarks."""
    months = ("2024-01", "2024-02", "2024-03")
    built = training_set(published, *months)
    crown(registered(tracker, built, lineage=False))
    verdict = judged(registered(tracker, built))
    words = "not known whether version 1 has learned from the test trips"
    assert words in check(verdict, "unseen test trips").found
    assert words in verdict.remarks
    assert " against " in check(verdict, "RMSE against version 1").found


@pytest.mark.parametrize("tag", [None, "Sample", "folder,other"])
def test_a_source_that_nobody_knows_is_told(
    tracker: Tracker, published: Path, tag: str | None
) -> None:
    """Verdict, history and mail say that it is not known, with the gate and without."""
    built = training_set(published, "2024-01", "2024-02", "2024-03")
    crown(registered(tracker, built))
    version = registered(tracker, built, lineage=False)
    # As of a model that was brought in: it is judged by the trips of the champion.
    tracker.client.set_model_version_tag(NAME, str(version), BROUGHT_IN, "theirs")
    tracker.client.delete_model_version_tag(NAME, str(version), "data_source")
    if tag is not None:
        tracker.client.set_model_version_tag(NAME, str(version), "data_source", tag)
    words = f"not known from which source version {version} has learned"
    assert words in judged(version).remarks
    assert crown(version)["remarks"] == words
    entry = promoter().history()[0]
    assert entry.remarks == words
    assert words in dict(announcements.moved(entry, "green", "promotion", "r", None).facts).values()


@pytest.mark.parametrize("content", ["{", "[]", '{"of": "another version"}'])
def test_a_lineage_that_cannot_be_read_is_not_known(
    tracker: Tracker, published: Path, content: str
) -> None:
    """The gate goes on, and says that it does not know what the champion has learned from."""
    built = training_set(published, "2024-01", "2024-02", "2024-03")
    crown(registered(tracker, built))
    challenger = registered(tracker, built)
    run_id = tracker.client.get_model_version(NAME, "1").run_id
    tracker.client.log_text(str(run_id), content, "lineage.json")
    verdict = judged(challenger)
    assert "not known whether version 1 has learned from the test trips" in verdict.remarks
    with pytest.raises(StoredObjectError, match=r"lineage.json of version 1 .* cannot be read"):
        find_lineage(tracker, NAME, 1)


def test_a_model_of_published_months_replaces_one_of_generated_trips_freely(
    tracker: Tracker, published: Path
) -> None:
    """It is judged against the baseline, not against what was measured on generated trips."""
    months = ("2024-01", "2024-02", "2024-03")
    crown(registered(tracker, training_set("sample", *months)))
    verdict = judged(registered(tracker, training_set(published, *months)))
    assert verdict.champion == 1
    source = check(verdict, "data source")
    assert source.passed
    assert source.found == (
        "real data (folder); version 1 has learned from SAMPLE data and is not compared"
    )
    assert "of the pair of zones" in check(verdict, "RMSE against the ").name
    assert verdict.remarks == ("version 1 has learned from SAMPLE data and is not compared",)


def test_a_model_of_generated_trips_replaces_no_real_one_without_a_word(
    tracker: Tracker, published: Path
) -> None:
    """The gate refuses it; with the word of the form it is judged, and the verdict repeats it."""
    months = ("2024-01", "2024-02", "2024-03")
    crown(registered(tracker, training_set(published, *months)))
    sample = registered(tracker, training_set("sample", *months))
    verdict = judged(sample)
    assert not verdict.passed
    assert not check(verdict, "data source").passed
    assert "accept_generated_data" in check(verdict, "data source").wanted
    assert not [one for one in verdict.checks if one.name == "RMSE against version 1"]
    accepted = judged(sample, accept_generated_data=True)
    assert check(accepted, "data source").passed
    assert accepted.remarks[0] == ACCEPTED


@pytest.mark.parametrize("action", ["promote", "rollback"])
def test_no_move_puts_generated_data_in_the_place_of_published_without_a_word(
    tracker: Tracker, published: Path, action: str
) -> None:
    """Without the gate, and back to a demonstration's champion, the word is needed as well."""
    months = ("2024-01", "2024-02", "2024-03")
    sample = registered(tracker, training_set("sample", *months))
    assert crown(sample)["remarks"] == "SAMPLE data"
    crown(registered(tracker, training_set(published, *months)))
    values = {"action": action, "version": sample if action == "promote" else None, "gate": False}
    with pytest.raises(InvalidInputError, match="set accept_generated_data in the form"):
        promotion.move(form(**values), dag_run("refused"))
    assert promoter().standing().champion == 2
    promotion.move(form(**values, accept_generated_data=True), dag_run("accepted"))
    assert promoter().standing().champion == 1
    assert promoter().history()[0].remarks == ACCEPTED


def test_mails_say_that_data_are_generated_and_what_was_not_compared(
    tracker: Tracker, published: Path
) -> None:
    """The word of the form, the recipe and the moment stand in the mails of verdict and move."""
    months = ("2024-01", "2024-02", "2024-03")
    crown(registered(tracker, training_set(published, *months)))
    sample = registered(tracker, training_set("sample", *months))
    refused = announcements.gate_refused(judged(sample), "green", "promotion", "r")
    assert refused.subject.endswith("did not pass the gate (SAMPLE data)")
    assert ("Data", "SAMPLE data") in refused.facts
    assert ("Model input", "recipe rich, asked when the trip has ended") in refused.facts
    verdict = judged(sample, accept_generated_data=True)
    given = form(version=sample, accept_generated_data=True)
    promotion.move(given, dag_run("mails"), verdict)
    moved = announcements.moved(promoter().history()[0], "green", "promotion", "r", verdict)
    assert moved.subject.endswith("(SAMPLE data)")
    assert dict(moved.facts)["Remarks"].startswith(f"{ACCEPTED}; version 1 has learned from real")


def test_the_latest_challenger_is_the_best_of_the_same_rows(
    tracker: Tracker, published: Path
) -> None:
    """Errors on another validation month, and at another moment, are not ranked beside it."""
    easier = registered(tracker, training_set(published, "2024-01", "2024-02", "2024-03"))
    own = [
        registered(tracker, training_set(published, "2024-02", "2024-03", "2024-04", recipe))
        for recipe in ("rich", "booking")
    ]
    for number, rmse in ((easier, 1.0), (own[0], 3.0), (own[1], 5.0)):
        run_id = tracker.client.get_model_version(NAME, str(number)).run_id
        tracker.log(str(run_id), metrics={"validation_rmse": rmse})
    assert latest_challengers(promoter("ended")) == own[:1]
    assert latest_challengers(promoter("booked")) == own[1:]


def test_the_next_best_follows_one_that_is_refused_where_nothing_answers(
    tracker: Tracker, published: Path
) -> None:
    """The history says so; a version that is named stands for itself, and so against a champion."""
    built = training_set(published, "2024-01", "2024-02", "2024-03")
    better = registered(tracker, built)
    _TRAINED[built.digest, "worse"] = dataclasses.replace(
        _TRAINED[built.digest, LINEAR],
        model=make_pipeline(DummyRegressor().fit(built.test_inputs, built.test_target)),
    )
    lucky = registered(tracker, built, family="worse")
    for version, rmse in ((lucky, 1.0), (better, 2.0)):
        run_id = tracker.client.get_model_version(NAME, str(version)).run_id
        tracker.log(str(run_id), metrics={"validation_rmse": rmse})
    assert not judged(lucky).passed
    verdict = judged(None)
    assert (verdict.challenger, verdict.passed) == (better, True)
    assert f"version {lucky} was refused before it" in verdict.remarks
    crown(registered(tracker, training_set(published, "2024-01", "2024-02", "2024-03")))
    assert judged(None).challenger == lucky


def test_the_comparison_of_a_training_says_why_the_champion_is_not_in_it(
    tracker: Tracker, published: Path
) -> None:
    """A champion is compared on whole test months of its own source that it has not seen."""
    crown(registered(tracker, training_set(published, "2024-02", "2024-03", "2024-04")))
    seen = champion_errors(tracker, training_set(published, "2024-01", "2024-02", "2024-03"))
    assert not seen.errors
    assert "not compared: it has learned from 2024-03: choose" in seen.notes["champion (version 1)"]
    sample = champion_errors(tracker, training_set("sample", "2024-01", "2024-02", "2024-04"))
    assert not sample.errors
    assert "and these are SAMPLE data" in sample.notes["champion (version 1)"]
    unseen = champion_errors(tracker, training_set(published, "2024-01", "2024-02", "2024-05"))
    assert set(unseen.errors) == {"champion (version 1)"}
    assert not unseen.notes


def test_intervals_that_fail_go_with_the_version_as_wider_ones(
    tracker: Tracker, published: Path
) -> None:
    """The verdict is passed; registry, history, mail and card say so, until days say more."""
    built = training_set(published, "2024-01", "2024-02", "2024-03")
    version = registered(tracker, built)
    run_id = str(tracker.client.get_model_version(NAME, str(version)).run_id)
    trained = _TRAINED[built.digest, LINEAR]
    assert trained.calibration is not None
    narrow = dataclasses.replace(
        trained.calibration.intervals,
        cells=tuple(
            tuple(value // 3 for value in cell) for cell in trained.calibration.intervals.cells
        ),
    )
    tracker.client.log_text(run_id, text_of(narrow), INTERVALS)
    tracker.client.log_text(run_id, "# A card\n", MODEL_CARD)
    verdict = judged(version)
    assert verdict.passed
    assert check(verdict, "coverage").outcome == "warning"
    widening = correction_of(tags_of(tracker), version)
    assert widening == verdict.widening
    assert widening.lower < 1 > widening.upper
    promotion.move(form(version=version), dag_run("moves"), verdict)
    entry = promoter().history()[0]
    assert "did not hold at the gate (coverage" in entry.remarks
    mail = announcements.moved(entry, "green", "promotion", "r", verdict)
    assert mail.table is not None
    assert [row[1] for row in mail.table.rows if row[0] == "coverage"] == ["WARNING"]
    for _ in range(2):
        card = read_artifact(tracker.client, run_id, MODEL_CARD) or b""
        assert card.startswith(b"# A card\n")
        assert card.count(b"## Intervals at the gate") == 1
        assert b"wider intervals" in card
        promoter().record(verdict, "again")
    later = dataclasses.replace(widening, version=7, day="2024-04-07")
    keep_correction(tracker, NAME, version, later)
    promoter().record(dataclasses.replace(verdict, widening=None), "once more")
    assert correction_of(tags_of(tracker), version) == later
    assert widening_of(tags_of(tracker), version) == NO_CORRECTION


def test_intervals_that_cannot_be_read_are_not_judged(tracker: Tracker, published: Path) -> None:
    """A damaged file holds up no better model, nor does a damaged correction."""
    built = training_set(published, "2024-01", "2024-02", "2024-03")
    version = registered(tracker, built)
    run_id = str(tracker.client.get_model_version(NAME, str(version)).run_id)
    tracker.client.log_text(run_id, "{", INTERVALS)
    verdict = judged(version)
    assert verdict.passed
    assert not [one for one in verdict.checks if one.name.startswith("coverage")]
    tracker.client.set_registered_model_tag(NAME, correction_tag(version), "{")
    assert correction_of(tags_of(tracker), version) == NO_CORRECTION


def tags_of(tracker: Tracker) -> dict[str, str]:
    """Return the tags of the registered model."""
    tags: dict[str, str] = tracker.client.get_registered_model(NAME).tags
    return tags
