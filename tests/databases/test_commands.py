"""The way of a table of a database on the command line: draft, check, run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.commands import run_command
from tests.databases.tables import Runs, fill

from model_loop.datasets.declaration import DatabaseSource
from model_loop.datasets.declaration_file import read_declaration


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder that is its own home."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "MODEL_LOOP_DATASETS_FOLDER": str(folder / "datasets"),
        "MODEL_LOOP_STORAGE_ROOT": str(folder / "storage"),
        "AIRFLOW_CONN_WAREHOUSE": os.environ["AIRFLOW_CONN_WAREHOUSE"],
        "COLUMNS": "120",
    }
    return run_command(*words, folder=folder, environment=environment)


def test_a_draft_is_of_a_drawn_sample(run: Runs, tmp_path: Path) -> None:
    """It says how many rows were drawn of how many, and writes the table as the source."""
    fill(run)
    words = ("datasets", "init", "--connection", "warehouse", "--table", "public.rides")
    drawn = command(tmp_path, *words, "--target", "minutes", "--sample", "400")
    assert drawn.returncode == 0, drawn.stderr
    said = "400 of 900 rows of database://warehouse/public.rides, drawn by their hashes"
    assert f"Looked at {said}." in drawn.stdout
    text = (tmp_path / "rides.toml").read_text()
    assert said in " ".join(text.replace("#", " ").split())
    found = read_declaration(tmp_path / "rides.toml")
    assert found.source == DatabaseSource(connection="warehouse", table="public.rides")
    again = command(tmp_path, *words, "--target", "minutes", "--sample", "400", "--force")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "rides.toml").read_text() == text
    checked = command(tmp_path, "datasets", "check", "rides.toml", "--json")
    strays = 0 if found.partition == "whole" else 9
    assert json.loads(checked.stdout)["rows"] == 900 - strays, checked.stderr
    assert ("9 rows have no time, and are in no" in checked.stderr) == bool(strays)


def test_a_run_reads_the_database(run: Runs, tmp_path: Path) -> None:
    """Without Airflow, the same declaration trains, from the partitions that are named."""
    fill(run)
    (tmp_path / "rides.toml").write_text(
        'name = "rides_of_runs"\ntarget = "minutes"\npartition = "month"\n'
        '[source]\nconnection = "warehouse"\ntable = "public.rides"\n[time]\ncolumn = "began"\n'
        '[columns.id]\ntype = "ignored"\n'
    )
    words = ("run", "rides.toml", "--models", "linear_model.LinearRegression", "--evaluations", "1")
    done = command(
        tmp_path,
        *words,
        "--partition",
        "2024-01",
        "--partition",
        "2024-02",
        "--no-promote",
        "--json",
    )
    # Nothing becomes champion, which is an outcome of its own.
    assert done.returncode == 1, done.stderr
    (found,) = json.loads(done.stdout)["runs"]
    ((counted,),) = run(
        "SELECT count(*) FROM public.rides WHERE began < TIMESTAMP '2024-03-01' AT TIME ZONE 'UTC'"
    )
    assert found["read"] == counted


@pytest.mark.parametrize(
    "words",
    [
        ("--connection", "warehouse"),
        ("--connection", "warehouse", "--table", "t", "--query", "SELECT 1"),
        ("--table", "t"),
        ("rows.csv", "--connection", "warehouse", "--table", "t"),
        (),
    ],
)
def test_what_is_drafted_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Files, or a connection with a table or a query."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "duckdb:////nowhere.duckdb")
    refused = command(tmp_path, "datasets", "init", *words, "--target", "minutes")
    assert refused.returncode == 2
    told = ("--connection", "source: connection is missing", "source has both of table and query")
    assert any(words in refused.stderr for words in told)
