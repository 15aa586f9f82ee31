"""The task and the command that look at canaries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from tests.monitoring.test_canaries import Trial
from upath import UPath

from model_loop.alerts.outbox import Outbox
from model_loop.cli.codes import ExitCode
from model_loop.cli.serving import watch_canaries
from model_loop.orchestration.steps.canaries import watch
from model_loop.settings import get_settings
from model_loop.tracking.deployments import Deployment

pytestmark = pytest.mark.integration


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    """A canary that fails, an hour ago, as the settings of this process know it."""
    monkeypatch.setattr("model_loop.tracking.shares.SETTLING_SECONDS", -7_200.0)
    made = Trial(tmp_path, "trip-duration-promotion")
    made.begun -= 3_600
    made.ask(days=0.03, part=lambda _: "failed")
    for name, value in {
        "TRACKING_URI": made.promoter.tracker.tracking_uri,
        "SERVING_FOLDER": str(tmp_path),
        "STORAGE_ROOT": (tmp_path / "storage").as_uri(),
    }.items():
        monkeypatch.setenv(f"MODEL_LOOP_{name}", value)
    get_settings.cache_clear()
    yield made
    made.log.stop()
    monkeypatch.undo()
    get_settings.cache_clear()


def waiting(folder: Path) -> list[str]:
    """Return the subjects of the mails that wait."""
    outbox = Outbox(UPath(folder / "storage" / "alerts"))
    return [one.alert.subject for one in outbox.waiting()]


def test_the_task_ends_it_and_tells(trial: Trial, tmp_path: Path) -> None:
    """Canaries of all datasets are looked at; what has ended is told once."""
    for outcome in ("end", "end"):
        (told,) = watch()
        assert (told["variant"], told["version"], told["outcome"]) == ("green", 2, outcome)
        json.dumps(told)
    assert trial.promoter.standing() == Deployment(champion=1)
    assert waiting(tmp_path) == ["the canary of green, version 2, has ended"]


def test_the_command_does_the_same(
    trial: Trial, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its exit code says that a canary has ended."""
    with pytest.raises(SystemExit) as ended:
        watch_canaries(variant="green")
    assert ended.value.code == ExitCode.NEGATIVE
    said = capsys.readouterr().out
    assert "Canary of green, 50%: failures: " in said
    assert "failed" in said
    assert waiting(tmp_path) == ["the canary of green, version 2, has ended"]
    assert trial.promoter.history()[0].kind == "end_canary"


@pytest.mark.usefixtures("trial")
def test_no_canary(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another variant there is none; a registry that is gone is looked at the next time."""
    watch_canaries(variant="yellow")
    watch_canaries(variant="yellow", as_json=True)
    assert capsys.readouterr().out.splitlines() == ["There is no canary.", '{"canaries": []}']
    gone = MlflowException("it is gone")
    monkeypatch.setattr("model_loop.orchestration.steps.canaries.versions_of", raising(gone))
    assert watch() == []


def raising(error: Exception) -> Callable[[str], None]:
    """Return a function that raises an error."""

    def fail(_service: str) -> None:
        raise error

    return fail
