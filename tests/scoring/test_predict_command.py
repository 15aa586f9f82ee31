"""The command `model-loop predict`: a champion is asked without a server."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.commands import run_command

from model_loop.scoring.limits import limits_in_words

DECLARATION = """
name = "rents"
target = "rent"
source = "rents.csv"
[task]
unit = "EUR"
[columns.size]
type = "number"
unit = "m2"
decimal_char = ","
constraints = {minimum = 1, maximum = 500, required = true}
[columns."Straße"]
type = "category"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a dataset whose champion was trained there."""
    folder = tmp_path_factory.mktemp("rents")
    rng = np.random.default_rng(3)
    size, street = rng.uniform(20, 120, 300).round(1), rng.choice(["Nord", "Süd"], 300)
    rent = (9 * size + 150 * (street == "Süd") + rng.normal(0, 20, 300)).round(0)
    table = pd.DataFrame({"size": size, "Straße": street, "rent": rent})
    table.to_csv(folder / "rents.csv", index=False, sep=";", decimal=",")
    (folder / "rents.toml").write_text(DECLARATION)
    done = run(
        folder, "run", "rents", "--models", "linear_model.LinearRegression", "--evaluations", "2"
    )
    assert done.returncode == 0, done.stderr
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Return the settings of a folder that holds everything."""
    return {
        **os.environ,
        "MODEL_LOOP_DATASETS_FOLDER": str(folder),
        "MODEL_LOOP_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }


def run(folder: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return run_command(*arguments, folder=folder, environment=environment(folder), text=text)


def piped(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that is given a text."""
    return run(folder, "predict", "rents", *arguments, text=text)


def test_values_and_json_give_the_same(folder: Path) -> None:
    """As arguments, as text and as JSON; in words with the unit, for machines with all parts."""
    told = json.loads(run(folder, "predict", "rents", "size=80,5", "Straße=Süd", "--json").stdout)
    (answer,) = told["predictions"]
    assert (told["model"], told["model_version"]) == ("rents", 1)
    assert answer["unit"] == "EUR"
    assert 700 < answer["prediction"] < 1_100
    words = run(folder, "predict", "rents", "size=80,5", "Straße=Süd").stdout
    assert answer["lower"] < answer["prediction"] < answer["upper"]
    assert answer["level"] == 90
    about = f"about {answer['prediction']:.4g} EUR{limits_in_words(answer)}"
    assert words == f"Rent: {about}, says version 1.\n"
    lines = '{"size": 80.5, "Straße": "Süd"}\n\n{"size": "80,5", "Straße": "Nord"}\n'
    both = json.loads(piped(folder, lines, "--json").stdout)["predictions"]
    assert both[0]["prediction"] == answer["prediction"]
    assert both[1]["prediction"] < answer["prediction"] - 100
    narrow = json.loads(piped(folder, lines, "--json", "--level", "50").stdout)["predictions"][0]
    assert answer["lower"] < narrow["lower"] < narrow["upper"] < answer["upper"]
    refused = piped(folder, lines, "--level", "0.9")
    assert refused.returncode == 2
    assert "level = 0.9 is not a number from 50 to 99" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("size=big",), ("size = big is not a number", "Give a number, from 1 to 500 m2")),
        (("size=501",), ("size = 501", "Give", "from 1 to 500")),
        (("sise=80",), ("sise", "is not a column of this table", "Did you mean size?")),
        (("Straße=Süd",), ("size is missing",)),
        (("size",), ("size names no column", "COLUMN=VALUE")),
        (("size=1", "size=2"), ("size=2 is given twice",)),
        (("size=80", "--model", "9"), ("9", "is not in the registry")),
        (("size=80", "--moment", "later"), ("later",)),
    ],
)
def test_what_is_refused(folder: Path, arguments: tuple[str, ...], said: tuple[str, ...]) -> None:
    """Exit code 2; each problem names the field, the rule and the remedy."""
    done = run(folder, "predict", "rents", *arguments)
    assert done.returncode == 2, done.stdout
    for words in said:
        assert words in done.stderr


def test_every_problem_is_told(folder: Path) -> None:
    """Each on a line of its own; to machines as REST has them."""
    done = run(folder, "predict", "rents", "size=big", "colour=red", "--json")
    assert done.returncode == 2
    assert done.stderr.count("Error:") == 2
    assert len(json.loads(done.stdout)["error"]["problems"]) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "has no value"), ("{}\nsize\n", "Line 2: The row is not JSON")],
)
def test_rows_that_are_none(folder: Path, text: str, said: str) -> None:
    """Nothing, and no JSON."""
    done = piped(folder, text)
    assert done.returncode == 2
    assert said in done.stderr


def test_good_rows_are_answered_beside_refused_ones(folder: Path) -> None:
    """The refused ones are named by their lines and counted; the exit code says that there are."""
    lines = '{"size": 80}\n\n{"size": "big"}\nsize\n{"size": 90}\n'
    done = piped(folder, lines)
    assert done.returncode == 2
    assert done.stdout.count("Rent: about") == 2
    assert "Line 3: size = big is not a number" in done.stderr
    assert "Line 4: The row is not JSON" in done.stderr
    assert "2 of 4 lines were refused; any others are answered." in done.stderr
    told = json.loads(piped(folder, lines, "--json").stdout)
    assert (len(told["predictions"]), told["lines"]) == (2, [1, 5])
    assert [each["line"] for each in told["refused"]] == [3, 4]


def test_nobody_to_ask(folder: Path) -> None:
    """A dataset that is unknown, or one without a champion."""
    assert "is unknown" in run(folder, "predict", "rent", "size=1").stderr
    done = run(folder, "predict", "green", "pickup_zone=74", "dropoff_zone=75")
    assert done.returncode == 2
    assert "has no champion yet" in done.stderr
