"""Commands about code on a machine without a tracking server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from model_loop.cli.code import add, answer, rotate, set_values
from model_loop.cli.options import answering_uri
from model_loop.cli.scoring import predict
from model_loop.coded import registration
from model_loop.errors import InvalidInputError
from model_loop.settings import get_settings

NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "command",
    [
        lambda: add(Path("code"), dataset="diabetes", tracking_uri=NOBODY),
        lambda: set_values("diabetes", 1, values=Path("values"), tracking_uri=NOBODY),
        lambda: rotate(tracking_uri=NOBODY),
        lambda: predict("diabetes", "age=1", tracking_uri=NOBODY),
    ],
)
def test_they_end_at_once_and_name_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[[], None]
) -> None:
    """Nothing is tried for minutes."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match=r"mlflow\.db.*MODEL_LOOP_TRACKING_URI"):
        command()


def test_they_use_what_a_run_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The database of `model-loop run` stands in for the server, and is named."""
    monkeypatch.chdir(tmp_path)
    database = tmp_path / ".state" / "runs" / "mlflow.db"
    database.parent.mkdir(parents=True)
    database.touch()
    assert answering_uri(NOBODY) == f"sqlite:///{database}"
    assert f"sqlite:///{database} is used" in capsys.readouterr().err
    assert answering_uri("sqlite:///own.db") == "sqlite:///own.db"


def test_code_that_is_not_allowed_names_the_setting_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no other version of a folder."""
    monkeypatch.setenv("MODEL_LOOP_CODE", "false")
    get_settings.cache_clear()
    try:
        with pytest.raises(InvalidInputError, match=r"set MODEL_LOOP_CODE=true\.$"):
            answer(tmp_path)
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()


def test_a_single_version_is_told_of_as_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After its name and number."""
    monkeypatch.setattr(registration, "rotate_keys", lambda *_: [("bikes", 3)])
    rotate(tracking_uri="sqlite://")
    assert "bikes, version 3\n1 version is sealed" in capsys.readouterr().out
