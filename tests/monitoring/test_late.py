"""The loop around a table of classes: trained, asked, labelled, judged, and followed by another."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from airflow.utils.types import DagRunType
from tests.outcomes import LATE
from tests.parcels import TOML, write_parcels
from tests.servers import tracking_database

from model_loop.datasets import registry
from model_loop.datasets.declaration_file import read_declaration
from model_loop.datasets.registry import get_dataset
from model_loop.models.gate_rules import GateRules
from model_loop.models.search import SearchRequest
from model_loop.monitoring.levels import Level, WindowFinding, from_rows
from model_loop.orchestration.forms import labels_form, monitoring_form
from model_loop.orchestration.forms.completing import completed_form
from model_loop.orchestration.registry import versions_of
from model_loop.orchestration.steps import labels, monitoring
from model_loop.pipeline.run import Places, RunRequest, run_table
from model_loop.scoring.predictor import Predictor, RegisteredVersion, load_predictor
from model_loop.serving.request_log.entries import Entry
from model_loop.serving.request_log.log import LogRules, RequestLog
from model_loop.serving.request_log.tables import open_log
from model_loop.settings import get_settings
from model_loop.tracking.challengers import judge_version
from model_loop.tracking.promotion import Promoter
from model_loop.training_set.frames import model_frame

FAMILIES = ("linear_model.LogisticRegression", "ensemble.ExtraTreesClassifier")
RUN: Any = SimpleNamespace(
    dag_id="late__monitoring",
    run_id="manual__1",
    run_type=DagRunType.MANUAL,
    triggering_user_name="ada",
    data_interval_end=None,
    run_after=dt.datetime.now(tz=dt.UTC) + dt.timedelta(hours=1),
)


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Parcels of four months, of which three are published."""
    rows = pd.read_csv(write_parcels(tmp_path_factory.mktemp("all") / "all.csv", 4_000))
    return rows.assign(number=np.arange(len(rows)))


@pytest.fixture(scope="module")
def folder(parcels: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the dataset, two trained versions and a champion."""
    made = tmp_path_factory.mktemp("late")
    parcels[parcels.sent_at < "2024-04-01"].to_csv(made / "late.csv", index=False)
    text = TOML.format(name="late", source="late.csv").replace('unit = "d"\n', LATE)
    text = text.replace('target = "days"', 'target = "days"\nprimary_key = ["number"]')
    (made / "late.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_given", {})
        patch.setenv("MODEL_LOOP_DATASETS_FOLDER", str(made))
        patch.setenv("MODEL_LOOP_STORAGE_ROOT", (made / "storage").as_uri())
        patch.setenv("MODEL_LOOP_SERVING_FOLDER", str(made / "serving"))
        patch.setenv("MODEL_LOOP_TRACKING_URI", tracking_database(made / "mlflow.db"))
        get_settings.cache_clear()
        settings = get_settings()
        result = run_table(
            read_declaration(made / "late.toml"),
            made,
            RunRequest(families=FAMILIES, search=SearchRequest(max_evaluations=1, threads=1)),
            Places(settings.storage_root, settings.tracking_uri, settings.experiment),
        )
        assert result["runs"][0]["champion"] in {1, 2}
        yield made
    get_settings.cache_clear()


def champion() -> Predictor:
    """Load the version that answers."""
    versions = versions_of("late")
    number = versions.standings()["sent"].champion
    assert number is not None
    return load_predictor(versions, RegisteredVersion("late", number))


def ask(rows: pd.DataFrame) -> None:
    """Let the champion answer rows, which the request log keeps with label and probabilities."""
    settings, dataset, predictor = get_settings(), get_dataset("late"), champion()
    given = rows.assign(
        sent_at=pd.to_datetime(rows.sent_at), express=(rows.express == "yes").astype(float)
    )
    asked = model_frame(dataset.columns, given.reindex(columns=list(dataset.columns.names)))
    assert predictor.deciding is not None
    outcomes = predictor.deciding.outcomes(predictor.predict(asked), 90.0)
    log = RequestLog(open_log("", Path(settings.serving_folder)), LogRules(days=0))
    now = dt.datetime.now(tz=dt.UTC).timestamp()
    cells = asked.astype(object).to_numpy().tolist()
    for number, row, outcome in zip(rows.number, cells, outcomes, strict=True):
        about = (now, "late", predictor.version.number, "champion", "me", None)
        entry = Entry(f"{number:032d}", *about, outcome.number, 1.0, row)
        log.record(entry._replace(label=outcome.label, probabilities=outcome.probabilities))
    log._write_all()


def found(rows: dict[str, list[dict[str, Any]]]) -> dict[str, WindowFinding]:
    """Return the findings of the only window, by metric and subject."""
    (only,) = rows.values()
    return {one.what: one for one in from_rows(only)}


def test_a_window_of_classes_is_watched_and_judged(parcels: pd.DataFrame, folder: Path) -> None:
    """Before labels what was predicted is compared, and after them how well."""
    later = parcels[parcels.sent_at >= "2024-04-01"]
    ask(later)
    dataset = get_dataset("late")
    values = {name: param.resolve() for name, param in monitoring_form(dataset).items()}
    form = completed_form(dataset, {**values, "report": False})
    plan = monitoring.plan_windows(form, RUN, {})
    assert plan is not None
    drift = found(monitoring.drift(plan, form, RUN))
    for what in ("class_drift(all)", "mean_probability(late)", "prediction_drift(all)"):
        assert drift[what].level == Level.OK, drift[what]
    before = found(monitoring.performance(plan, form))
    assert {one.level for one in before.values()} == {Level.UNKNOWN}
    assert "0 labelled rows" in before["log_loss(all)"].note

    told = pd.DataFrame(
        {
            "prediction_id": [f"{number:032d}" for number in later.number],
            "days": np.where(later.days > 5, 9.0, 1.0),
        }
    )
    told.to_csv(folder / "storage" / "labels.csv", index=False)
    given = {name: param.resolve() for name, param in labels_form(dataset).items()}
    file = str(folder / "storage" / "labels.csv")
    noted = labels.add(completed_form(dataset, {**given, "input": file}), RUN)
    assert noted["labels"] == len(later)
    after = found(monitoring.performance(plan, form))
    assert {one.metric for one in after.values()} == {
        *("log_loss", "calibration", "precision", "recall", "label_shift", "slice_log_loss")
    }
    assert after["log_loss(all)"].level == Level.OK, after["log_loss(all)"].note
    assert after["recall(all)"].level == Level.OK
    assert after["label_shift(all)"].level == Level.OK


def test_the_next_version_is_judged_by_log_loss(folder: Path) -> None:
    """Against the champion, on the same rows: every check has the words of classes."""
    del folder
    versions, settings = versions_of("late"), get_settings()
    number = versions.standings()["sent"].champion
    assert number is not None
    verdict = judge_version(
        Promoter(versions.tracker, "late", "sent", versions),
        3 - number,
        GateRules(),
        storage_root=settings.storage_root,
        timeout_seconds=60,
    )
    names = {check.name for check in verdict.checks}
    assert {
        f"log loss against version {number}",
        f"calibration against version {number}",
        "test rows of the rarer class",
        "worst slice",
    } < names
    assert any(name.startswith("log loss against the share ") for name in names)
    assert "RMSE" not in verdict.markdown
    assert "coverage" not in verdict.markdown
