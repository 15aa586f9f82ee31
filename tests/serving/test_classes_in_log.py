"""Classes in the request log: older tables and spools, shadows, versions on trial, decisions."""

from __future__ import annotations

import datetime as dt
import io
import json
import math
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sqlalchemy import create_engine, inspect, select
from tests.serving.conftest import TRIP, Server
from tests.serving.test_compiled_classifiers import (
    CLASSES,
    asked_rows,
    classified,
    form_of,
    model_of,
)

from model_loop.datasets.classes import Classes
from model_loop.models.classification.decision import Decision
from model_loop.scoring.outcomes import DecisionRules, Outcome, deciding_of
from model_loop.scoring.rows import Rows
from model_loop.serving.compiled.links import Scores
from model_loop.serving.compiled.model import CompiledModel, Targets
from model_loop.serving.compiled.orders import CompilerResult, write_outcome
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.models.shadow import ask_shadows
from model_loop.serving.request_log.entries import Batch, Entry
from model_loop.serving.request_log.export import read_day
from model_loop.serving.request_log.queries import find_prediction, note_feedback
from model_loop.serving.request_log.tables import (
    ACTUAL_LABEL,
    OF_CLASSES,
    feedback,
    open_log,
    predictions,
)
from model_loop.serving.request_log.writer import LogWriter
from trip_duration.dataset import TRIPS

TEXTS, THREE = CLASSES["texts"], CLASSES["three texts"]


def version_of(classes: Classes, family: str) -> ServedVersion:
    """Return a version that answers by its compiled form."""
    form = form_of(model_of(family, classes), classes)
    return ServedVersion(
        2,
        (),
        (),
        form.verify(machine_code=False),
        form=form,
        deciding=deciding_of(classified(classes).target, form.threshold, None),
    )


def entries_of(classes: Classes, count: int) -> list[Entry]:
    """Return logged rows, each of which another version has answered with the last class."""
    label, told = classes.labels[-1], dict.fromkeys(classes.texts, 1 / 3)
    return [
        Entry(
            f"{number:032x}",
            86_400.0 + number,
            "flights",
            1,
            "champion",
            "ada",
            None,
            1 / 3,
            1.0,
            row,
            label=label,
            probabilities=told,
        )
        for number, row in enumerate(asked_rows(130)[:count].tolist())
    ]


def test_the_log_waits_little_for_a_shadow_elsewhere() -> None:
    """A version that hangs in its runner has no shadow answers, and is asked once at a time."""
    hangs, asked = threading.Event(), list[int]()

    def hang(rows: Rows) -> Targets:
        asked.append(len(rows))
        hangs.wait(60)
        return np.zeros((len(rows), 2))

    shadow = replace(version_of(TEXTS, "logistic"), version=77, predict=hang, remote=True)
    entries = entries_of(TEXTS, 5)
    try:
        assert [ask_shadows({"flights": shadow}, entries) for _ in range(2)] == [{}, {}]
        assert asked == [5]
    finally:
        hangs.set()


@pytest.mark.parametrize("classes", [TEXTS, THREE])
def test_a_shadow_tells_its_probabilities(tmp_path: Path, classes: Classes) -> None:
    """And as its number that of the positive class, or of the class that was answered."""
    shadow, entries = version_of(classes, "logistic"), entries_of(classes, 5)
    predicted = shadow.predict(np.array([entry.row for entry in entries], dtype=object))
    said = ask_shadows({"flights": shadow}, entries)
    for place, probabilities in enumerate(predicted.tolist()):
        of_last = probabilities if classes.is_binary else probabilities[-1]
        version, number, told = said[place]
        assert (version, number) == (2, of_last)
        assert told is not None
        assert told[classes.texts[-1]] == of_last
        assert sum(told.values()) == pytest.approx(1)
    engine = open_log("", tmp_path)
    writer = LogWriter(engine, inputs=False)
    writer.follow({"flights": shadow})
    written = writer.write(Batch(entries))
    assert (written.problem, written.shadowed) == ("", 5)
    with engine.connect() as connection:
        rows = connection.execute(select(predictions).order_by(predictions.c.at)).mappings().all()
    for row, (_, number, told) in zip(rows, said.values(), strict=True):
        assert row["label"] == classes.texts[-1]
        assert json.loads(row["probabilities"]) == dict.fromkeys(classes.texts, 1 / 3)
        assert (row["minutes"], row["shadow_minutes"]) == (1 / 3, number)
        assert json.loads(row["shadow_probabilities"]) == told


def test_a_log_of_before_is_read_and_written(tmp_path: Path) -> None:
    """Its tables get the columns; neither its predictions nor those of a spool are of classes."""
    old = create_engine(f"sqlite:///{tmp_path / 'requests.db'}")
    open_log("", tmp_path).dispose()
    with old.begin() as connection:
        for name in OF_CLASSES:
            connection.exec_driver_sql(f"ALTER TABLE predictions DROP COLUMN {name}")
        connection.exec_driver_sql(f"ALTER TABLE feedback DROP COLUMN {ACTUAL_LABEL}")
        connection.exec_driver_sql(
            "INSERT INTO predictions (prediction_id, at, service, version, part, caller, minutes, "
            "latency_ms) VALUES ('a', 86400, 'green', 1, 'champion', 'ada', 5.5, 1)"
        )
    engine = open_log("", tmp_path)
    there = {column["name"] for column in inspect(engine).get_columns("predictions")}
    assert {*OF_CLASSES} <= there
    assert note_feedback(engine, {"a": 7.5}, "ada") == []
    with engine.connect() as connection:
        (row,) = connection.execute(select(feedback)).mappings()
    assert (row["actual_minutes"], row[ACTUAL_LABEL]) == (7.5, None)
    before = msgspec.msgpack.encode(
        ("a", 1.0, "green", 1, "champion", "ada", None, 5.5, 1.0, [], "", None, 1.0, 2.0, 90.0)
    )
    read = msgspec.msgpack.decode(before, type=Entry)
    assert (read.level, read.label, read.probabilities) == (90.0, None, None)


def test_a_label_that_is_gone_is_still_read(tmp_path: Path) -> None:
    """The log keeps texts, so that no later order of the classes changes what was said."""
    engine = open_log("", tmp_path)
    LogWriter(engine, inputs=False).write(Batch(entries_of(THREE, 1)))
    note_feedback(engine, {f"{0:032x}": "late"}, "ada", classes=THREE)
    other = classified(Classes(("early", "late", "never")))
    (row,) = read_day(engine, dt.date(1970, 1, 2), other).to_dict("records")
    assert (row["prediction"], row["actual"], row["probability"]) == ("on time", "late", 1 / 3)
    with engine.connect() as connection:
        assert connection.scalar(select(feedback.c.actual_minutes)) == 1


def test_nothing_of_classes_is_said_of_numbers(server: Server) -> None:
    """Log and export of numbers are as they were."""
    (answer,) = server.predict(TRIP)
    assert {"probabilities", "threshold", "classes"}.isdisjoint(answer)
    found = server.ask("GET", f"/predictions/{answer['prediction_id']}").json()
    told = find_prediction(server.log.engine, answer["prediction_id"])
    assert told is not None
    frame = read_day(server.log.engine, dt.datetime.now(dt.UTC).date(), TRIPS)
    for names in (found, told, frame.columns):
        assert {*OF_CLASSES, ACTUAL_LABEL, "probability"}.isdisjoint(names)
    with server.log.engine.connect() as connection:
        (row,) = connection.execute(select(predictions)).mappings()
    assert [row[name] for name in OF_CLASSES] == [None, None, None]


@pytest.mark.parametrize("probability", [0.3, 0.3 - 1e-16, 0.3 - 1e-13])
def test_a_threshold_that_some_row_has_is_met(probability: float) -> None:
    """Arithmetic of another order does not turn the answer."""
    deciding = DecisionRules(TEXTS, 0.3)
    (found, below) = deciding.outcomes(np.array([probability, 0.3 - 1e-9]), 90)
    assert (found.label, below.label) == ("on time", "late")
    assert found.probabilities == {"late": 1 - probability, "on time": probability}


def test_sets_of_no_rows_are_none() -> None:
    """A batch of a file may have no row that can be predicted."""
    several = Decision(THREE.labels, set_scores=(0.5,) * 100)
    assert DecisionRules(THREE, decision=several).outcomes(np.empty((0, 3)), 90) == []
    (outcome,) = DecisionRules(THREE).outcomes(np.array([[0.2, 0.5, 0.3]]), 90)
    assert outcome == Outcome("late", {"early": 0.2, "late": 0.5, "on time": 0.3}, 0.5)


def test_a_decision_comes_back_from_the_compiling_process() -> None:
    """With the form behind it, whose threshold is that of the model."""
    model = model_of("logistic", TEXTS, threshold=0.3)
    form, file = form_of(model, TEXTS), io.BytesIO()
    decision = Decision(TEXTS.labels, "on time", 0.3, "cost", metrics={})
    write_outcome(file, CompilerResult(decision=decision), form)
    file.seek(0)
    read = msgspec.json.decode(file.readline(), type=CompilerResult)
    assert read.decision == decision
    assert CompiledModel.read(file, classified(TEXTS)).threshold == 0.3
    assert isinstance(form.flat, Scores)
    for threshold in (math.nan, 1.5):
        wrong = replace(form, flat=form.flat._replace(threshold=threshold))
        file = io.BytesIO()
        wrong.write(file)
        file.seek(0)
        with pytest.raises(Exception, match="fit together"):
            CompiledModel.read(file, classified(TEXTS))


def test_a_server_loads_no_library_of_models() -> None:
    """Its decisions are data: scikit-learn, pandas and SciPy stay out of its process."""
    heavy = "{'sklearn', 'pandas', 'scipy', 'xgboost'}"
    code = (
        "import sys, model_loop.serving.http.server as s; "
        f"print(sorted({heavy} & {{name.partition('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
