"""What the DAGs `prediction` and `batch_scoring` make of their forms."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from model_loop.datasets.reading import Row
from model_loop.errors import InvalidInputError
from model_loop.orchestration.forms import batch_scoring_form, prediction_form, sources
from model_loop.orchestration.steps import batch_scoring, prediction
from model_loop.scoring.answers import answer_maker
from model_loop.settings import get_settings
from trip_duration.dataset import TRIPS

LONGEST = msgspec.to_builtins(
    answer_maker(TRIPS)(
        Row(
            [265.0, 265.0, 1_709_280_000.0, 123456.789, 1.0, 1.0, 1.0],
            ("pickup_at", "trip_distance"),
        ),
        -12.345678901234567,
        "01a1febddfd37c8ca24e0876493219a7",
        1_000_000,
        "booked",
    )
)


def form(fields: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A form's values."""
    return {**{name: field.value for name, field in fields.items()}, **changes}


def test_the_longest_result_stays_readable_over_rest() -> None:
    """As many answers as one run may give are not moved to the object storage."""
    settings = get_settings()
    predictions = [LONGEST] * settings.prediction_inputs
    assert len(json.dumps({"predictions": predictions})) + 200 < settings.xcom_inline_bytes


def test_zones_are_chosen_by_borough_and_name() -> None:
    """Every zone is a choice, sorted as a person looks for it."""
    schema = prediction_form(TRIPS)["pickup_zone"].schema
    shown = [schema["values_display"][str(number)] for number in schema["enum"]]
    assert len(shown) == 265
    assert shown == sorted(shown)
    assert shown[0].startswith("Bronx")


def test_a_list_takes_the_place_of_the_form() -> None:
    """Without a list the form's fields are one trip."""
    fields = prediction_form(TRIPS)
    (trip,) = prediction._rows(TRIPS, form(fields))
    assert trip.cells[:2] == [239.0, 236.0]
    assert math.isnan(trip.cells[3])
    assert trip.assumed == ("pickup_at",)
    inputs = [{"pickup_zone": 1, "dropoff_zone": 2}]
    (row,) = prediction._rows(TRIPS, form(fields, inputs=inputs))
    assert row.cells[:2] == [1.0, 2.0]
    with pytest.raises(InvalidInputError, match="run the DAG batch_scoring"):
        prediction.predict(form(fields, inputs=inputs * 51), SimpleNamespace())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "/etc/trips.csv"}, "lies outside of the folders"),
        ({"input": "a.csv", "output": "/etc/trips.csv"}, "lies outside of the folders"),
        ({"months": ["2024-01"], "source": "/etc"}, "not in the list of allowed sources"),
        (
            {"months": ["2024-01"], "source": "https://example.com"},
            "not in the list of allowed sources",
        ),
    ],
)
@pytest.mark.parametrize("allowed", ["", "*"])
def test_files_that_a_caller_may_not_name(
    changes: dict[str, Any], message: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing outside of the operator's folders is read or written, whatever is learned from."""
    settings = get_settings().model_copy(update={"allowed_sources": allowed})
    for module in (batch_scoring, sources):
        monkeypatch.setattr(module, "get_settings", lambda: settings)
    with pytest.raises(InvalidInputError, match=message):
        batch_scoring._files(form(batch_scoring_form(TRIPS), **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "names no file and no month"),
        ({"input": "a.csv", "months": ["2024-01"]}, "names both a file and months"),
    ],
)
def test_one_thing_is_scored_at_a_time(changes: dict[str, Any], message: str) -> None:
    """A file or months, and something at all, before a model is looked for."""
    with pytest.raises(InvalidInputError, match=message):
        batch_scoring.plan_chunks(form(batch_scoring_form(TRIPS), **changes))


def test_links_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may be named gives no way to a file elsewhere."""
    monkeypatch.setenv("MODEL_LOOP_SCORING_FOLDERS", str(tmp_path / "in"))
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.csv").touch()
    (tmp_path / "in" / "link.csv").symlink_to(tmp_path / "secret.csv")
    changes = {"input": str(tmp_path / "in")}
    with pytest.raises(InvalidInputError, match="lies outside of the folders"):
        batch_scoring._files(form(batch_scoring_form(TRIPS), **changes))


def test_folders_of_the_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the operator has allowed may be named, and so may the storage root."""
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", f"file://{tmp_path / 'storage'}")
    monkeypatch.setenv("MODEL_LOOP_SCORING_FOLDERS", f"{tmp_path / 'in'}, s3://bucket/in")
    for folder in ("in", "storage"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "trips.csv").touch()
        get_settings.cache_clear()
        changes = {"input": str(tmp_path / folder / "trips.csv")}
        ((_, output),) = batch_scoring._files(form(batch_scoring_form(TRIPS), **changes))
        assert str(output) == str(tmp_path / folder / "trips.predictions.csv")


def test_maintenance_removes_what_nobody_went_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of batches that were given up; looking removes nothing."""
    monkeypatch.setenv("MODEL_LOOP_STORAGE_ROOT", f"file://{tmp_path}")
    (tmp_path / "scoring" / "key").mkdir(parents=True)
    (tmp_path / "scoring" / "key" / "rows-1.csv").write_bytes(b"12345")
    looked = batch_scoring.remove_abandoned_scores({"days": 0, "only_look": True})
    assert looked == {"jobs": 1, "bytes": 0, "removed": False}
    assert batch_scoring.remove_abandoned_scores({"days": 30, "only_look": False})["jobs"] == 0
    done = batch_scoring.remove_abandoned_scores({"days": 0, "only_look": False})
    assert done == {"jobs": 1, "bytes": 5, "removed": True}
    assert not (tmp_path / "scoring" / "key").exists()
