"""A link that takes the place of a file between check and opening gives nothing away."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.commands import run_command
from upath import UPath

from model_loop.errors import InvalidInputError
from model_loop.orchestration.forms import batch_scoring_form
from model_loop.orchestration.forms.monitoring import monitoring_form
from model_loop.orchestration.steps import batch_scoring, windows
from model_loop.scoring.batch.planning import columns_in
from model_loop.scoring.opening import open_input, without_links
from model_loop.settings import get_settings
from trip_duration.dataset import TRIPS

SECRET = "the-token-of-somebody"  # noqa: S105 - what must not be seen
TRIES = 300


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that forms may name, beside one with a secret, which they may not."""
    for name in ("in", "elsewhere"):
        (tmp_path / name / "inner").mkdir(parents=True)
    (tmp_path / "in" / "inner" / "trips.csv").write_text("pickup_datetime\n2024-01-15 08:30:00\n")
    (tmp_path / "elsewhere" / "inner" / "trips.csv").write_text(f"{SECRET}\n1\n")
    for name, column in (("in", "pickup_datetime"), ("elsewhere", SECRET)):
        table = pd.DataFrame({column: ["2024-01-15 08:30:00"]})
        table.to_parquet(tmp_path / name / "inner" / "trips.parquet")
    monkeypatch.setenv("MODEL_LOOP_SCORING_FOLDERS", str(tmp_path / "in"))
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


def exchange_a_file(folder: Path, suffix: str) -> None:
    """Put a link in the place of the file, and the file back."""
    path, beside = folder / "in" / "inner" / f"trips{suffix}", folder / "in" / f"next{suffix}"
    whole = path.read_bytes()
    beside.symlink_to(folder / "elsewhere" / "inner" / f"trips{suffix}")
    beside.replace(path)
    beside.write_bytes(whole)
    beside.replace(path)


def exchange_a_folder(folder: Path, suffix: str) -> None:  # noqa: ARG001 - as above
    """Put a link in the place of the folder, and the folder back."""
    path, away = folder / "in" / "inner", folder / "in" / "away"
    path.rename(away)
    path.symlink_to(folder / "elsewhere" / "inner")
    path.unlink()
    away.rename(path)


@pytest.mark.parametrize("exchange", [exchange_a_file, exchange_a_folder])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_form_reads_nothing_through_an_exchanged_link(
    folder: Path, suffix: str, exchange: Callable[[Path, str], None]
) -> None:
    """Each try reads the file itself or is refused, and no error quotes what lies elsewhere."""
    given = {name: param.value for name, param in batch_scoring_form(TRIPS).items()}
    given |= {"input": str(folder / "in" / "inner" / f"trips{suffix}")}
    over, read, said = threading.Event(), 0, list[str]()

    def attack() -> None:
        while not over.is_set():
            exchange(folder, suffix)
            over.wait(0.0005)

    attacker = threading.Thread(target=attack)
    attacker.start()
    try:
        for _ in range(TRIES):
            try:
                (chosen,) = batch_scoring._files(given)
                names = columns_in(TRIPS, [chosen[0]], "")
            except (InvalidInputError, FileNotFoundError) as error:
                said.append(str(error))
            else:
                assert set(names) == {"pickup_datetime"}
                read += 1
    finally:
        over.set()
        attacker.join()
    assert not any(SECRET in text for text in said)
    assert read, said[-1]


def test_a_link_is_refused_when_it_is_opened(folder: Path) -> None:
    """As the last part of the path and before it; the message names the file and the remedy."""
    (folder / "in" / "link.csv").symlink_to(folder / "elsewhere" / "inner" / "trips.csv")
    (folder / "in" / "door").symlink_to(folder / "elsewhere")
    for path in (folder / "in" / "link.csv", folder / "in" / "door" / "inner" / "trips.csv"):
        with (
            pytest.raises(
                InvalidInputError, match=f"{path.name} is not a regular file.*Put the file"
            ),
            open_input(UPath(path)),
        ):
            pass
    assert without_links(UPath(folder / "in" / "door")) == UPath(folder / "elsewhere")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("loop.csv", "loop.csv' names no file"),
        ("nul\0.csv", r"nul.x00.csv' names no file .embedded null"),
        (f"{'long' * 100}.csv", r"long.*names no file .File name too long"),
        ("socket.csv", "socket.csv is not a regular file"),
    ],
    ids=["loop", "NUL", "long", "socket"],
)
def test_what_names_no_file_is_refused(folder: Path, name: str, rule: str) -> None:
    """The form's answer and the command's message name the path and the remedy."""
    (folder / "in" / "loop.csv").symlink_to("loop.csv")
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(folder / "in"):
        listening.bind("socket.csv")
    given = {name: param.value for name, param in batch_scoring_form(TRIPS).items()}
    given |= {"input": str(folder / "in" / name), "version": 1}
    with pytest.raises(InvalidInputError, match=rule) as refused:
        columns_in(TRIPS, [source for source, _ in batch_scoring._files(given)], "")
    assert refused.value.remedy.startswith(("Give", "Put"))
    environment = {"PATH": os.environ["PATH"], "MODEL_LOOP_STORAGE_ROOT": str(folder)}
    if "\0" not in name:
        done = run_command("score", f"in/{name}", folder=folder, environment=environment)
        assert done.returncode == 2
        assert re.search(rule, " ".join(done.stderr.split()))
        assert "Traceback" not in done.stderr


def test_a_pipe_holds_nobody_up(folder: Path) -> None:
    """Anything but a regular file is refused at once."""
    os.mkfifo(folder / "in" / "pipe.csv")
    with (
        pytest.raises(InvalidInputError, match="is not a regular file"),
        open_input(UPath(folder / "in" / "pipe.csv")),
    ):
        pass


def odd_metadata(path: Path) -> None:
    """Write a sound table with a description that pandas cannot follow."""
    table = pa.table({"minutes": [1.0]})
    pq.write_table(table.replace_schema_metadata({"pandas": "[" * 50_000}), path)


@pytest.mark.parametrize(
    ("name", "make", "rule"),
    [
        ("pipe.csv", os.mkfifo, "is not a regular file"),
        ("pipe.parquet", os.mkfifo, "is not a regular file"),
        ("cut.parquet", lambda path: path.write_bytes(b"PAR1"), "cannot be read"),
        (
            "bytes.csv",
            lambda path: path.write_bytes(b"\xff\xfe\0" * 100),
            "was not made by batch scoring",
        ),
        ("odd.parquet", odd_metadata, "was not made by batch scoring"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_monitoring_reads_outputs_as_carefully(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    make: Callable[[Path], object],
    rule: str,
) -> None:
    """A pipe would hold the task up for ever; what is damaged is named."""
    # No version is looked up: a person has named it.
    monkeypatch.setattr(windows, "versions_of", lambda _: SimpleNamespace(known_moment=None))
    path = folder / "in" / name
    make(path)
    form = {one: param.value for one, param in monitoring_form(TRIPS).items()}
    form |= {"outputs": [str(path)]}
    run: Any = SimpleNamespace(data_interval_end=dt.datetime.now(dt.UTC), run_after=None)
    plan = {
        "service": "green",
        "windows": [*windows.windows_of(form, run, ())],
        "versions": [{"version": 1, "moment": "ended"}],
        "named": True,
    }
    predictor: Any = SimpleNamespace(version=SimpleNamespace(number=1, dataset=TRIPS), columns=())
    with pytest.raises(InvalidInputError, match=rule):
        next(windows.gather(plan, form, predictor))
