"""Where nobody names a recipe, a model knows what a caller can tell at the moment of asking."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from model_loop.orchestration import forms
from trip_duration.dataset import TRIPS
from trip_duration.months import MonthSplit
from trip_duration.recipes import DEFAULT_RECIPE, RECIPES
from trip_duration.training_set.encoders.dense import DenseTripEncoder
from trip_duration.training_set.encoders.one_hot import OneHotTripEncoder
from trip_duration.training_set.request import TrainingSetRequest

ROOT = Path(__file__).parents[3]


def test_it_can_be_asked_before_the_trip() -> None:
    """The metered distance, which is known last, is not among its columns."""
    assert DEFAULT_RECIPE == "booking"
    assert RECIPES[DEFAULT_RECIPE].moment == "booked"


@pytest.mark.parametrize("form", ["preparation_form", "sklearn_form", "retraining_form"])
def test_forms_offer_it_and_say_the_moment_of_each(form: str) -> None:
    """The field begins with it, and each choice says when its models can be asked."""
    field = getattr(forms, form)(TRIPS)["recipe"]
    assert field.value == DEFAULT_RECIPE
    shown = field.schema["values_display"]
    assert shown["booking"].endswith("asked when a ride is booked")
    assert shown["rich"].endswith("asked when the trip has ended")
    assert shown["pair_distance"].endswith("asked when the trip has ended")


def test_the_library_takes_it() -> None:
    """A request and both encoders begin with it."""
    request = TrainingSetRequest("sample", "green", MonthSplit.parse("2024-01", "2024-02"))
    assert request.recipe == DEFAULT_RECIPE
    assert DenseTripEncoder().recipe == OneHotTripEncoder().recipe == DEFAULT_RECIPE


def test_the_command_line_takes_it(tmp_path: Path) -> None:
    """`prepare` without a recipe knows no distance, and says the moment."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "model-loop"), "prepare", "--json"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "MODEL_LOOP_SAMPLE_TRIPS_PER_MONTH": "800"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert (found["recipe"], found["moment"]) == (DEFAULT_RECIPE, "booked")


def test_the_page_of_trips_names_it() -> None:
    """The table of the demo's options has the same default."""
    (row,) = re.findall(r"\| `RECIPE` \|.*", (ROOT / "docs/datasets/trips.md").read_text())
    assert row.endswith(f"| `{DEFAULT_RECIPE}` |")
