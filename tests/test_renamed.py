"""Names of before version 0.2: stored ones are read, settings are refused."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from tests.commands import run_command

from model_loop.errors import InvalidInputError
from model_loop.objects.allowed import TRUSTED
from model_loop.settings import Settings, all_settings, get_settings
from model_loop.settings.renamed import refuse_former_names

FORMER = sorted(name for name in TRUSTED if name.startswith("trip_duration."))


@pytest.mark.parametrize("name", FORMER)
def test_classes_that_stored_models_name_are_those_of_today(name: str) -> None:
    """A stored model gets the class of today, which is trusted under its own name too."""
    module, _, kind = name.rpartition(".")
    today = getattr(importlib.import_module(module), kind)
    assert today.__qualname__ == kind
    assert f"{today.__module__}.{kind}" in TRUSTED


def test_every_class_of_ours_is_trusted_under_its_former_name() -> None:
    """Models of before are loaded, whatever their family and encoding."""
    ours = {name for name in TRUSTED if name.startswith("model_loop.")}
    # Versions of before have learned numbers alone.
    ours.remove("model_loop.models.boosting.BoosterClassifier")
    encoders = {
        "trip_duration.training_set.encoders.dense.DenseTripEncoder",
        "trip_duration.training_set.encoders.one_hot.OneHotTripEncoder",
    }
    assert {name.replace("model_loop", "trip_duration") for name in ours} | encoders == set(FORMER)


def test_a_command_refuses_a_setting_of_before(tmp_path: Path) -> None:
    """The message names each old name with its new one."""
    done = run_command(
        "prepare",
        folder=tmp_path,
        environment={"TRIP_DURATION_SOURCE": "tlc", "TRIP_DURATION_MAIL_TO": "a@example.com"},
    )
    assert done.returncode == 2
    message = " ".join(done.stderr.split())
    assert "TRIP_DURATION_SOURCE → MODEL_LOOP_SOURCE" in message
    assert "TRIP_DURATION_MAIL_TO → MODEL_LOOP_MAIL_TO" in message


def test_settings_of_0_1_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that has a general name today is read under its former one; the new one counts."""
    monkeypatch.setenv("MODEL_LOOP_SERVICE", "yellow")
    monkeypatch.setenv("MODEL_LOOP_MONITORING_TRIPS", "20")
    monkeypatch.setenv("MODEL_LOOP_SERVING_MAX_TRIPS", "30")
    settings = all_settings()()
    assert (settings.variant, settings.monitoring_rows, settings.serving_max_rows) == (
        "yellow",
        20,
        30,
    )
    monkeypatch.setenv("MODEL_LOOP_MONTHS_SCHEDULE", "0 6 1 * *")
    monkeypatch.setenv("MODEL_LOOP_WATCH_MONTHS", "true")
    monkeypatch.setenv("MODEL_LOOP_RETRAINING_TRAIN_MONTHS", "5")
    settings = all_settings()()
    assert settings.partitions_schedule == "0 6 1 * *"
    assert (settings.watch_partitions, settings.retraining_train_partitions) == (True, 5)
    monkeypatch.setenv("MODEL_LOOP_WATCH_PARTITIONS", "false")
    assert not all_settings()().watch_partitions
    monkeypatch.setenv("MODEL_LOOP_VARIANT", "bikes")
    assert all_settings()().variant == "bikes"


def test_a_former_name_with_the_former_prefix_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be passed over, as the setting has another name today."""
    monkeypatch.setenv("TRIP_DURATION_SERVICE", "yellow")
    get_settings.cache_clear()
    with pytest.raises(InvalidInputError, match="TRIP_DURATION_SERVICE → MODEL_LOOP_SERVICE"):
        get_settings()


def test_the_image_of_compose_is_refused_under_its_former_name() -> None:
    """The variable is none of the settings, and would be passed over."""
    with pytest.raises(InvalidInputError, match="MODEL_LOOP_IMAGE"):
        refuse_former_names({"TRIP_DURATION_IMAGE": "mine:1"}, Settings.model_fields)


def test_what_is_no_setting_is_not_refused() -> None:
    """Compose hands empty variables on, and other programs may have their own."""
    refuse_former_names(
        {"TRIP_DURATION_IMAGE": "", "TRIP_DURATION_ELSE": "1"}, Settings.model_fields
    )
