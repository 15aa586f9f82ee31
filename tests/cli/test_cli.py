"""The command line, as a person and as a program use it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import mlflow
import pyarrow.parquet as pq
import pytest
from tests.commands import COMMAND, run_command

from model_loop import cli
from model_loop.cli.console import print_error
from model_loop.cli.report import print_written
from model_loop.cli.scoring import print_results
from model_loop.errors import InvalidInputError
from model_loop.scoring.batch.job import JobResult
from trip_duration.sample import is_sample

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "MODEL_LOOP_SAMPLE_TRIPS_PER_MONTH": "800"}


def run(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``model-loop`` in a folder."""
    return run_command(*arguments, folder=folder, environment={**ENVIRONMENT, **environment})


def test_the_command_that_is_installed(tmp_path: Path) -> None:
    """The console script does what the other tests fork."""
    command = [COMMAND, "prepare", "--recipe", "pair_distance", "--json"]
    own = subprocess.run(
        command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    forked = run(*command[1:], folder=tmp_path)
    assert json.loads(own.stdout) == json.loads(forked.stdout)
    assert own.returncode == forked.returncode == 0


def test_a_defect_is_no_negative_outcome(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that nobody foresaw keeps its traceback, and ends with an exit code of its own."""

    def broken() -> None:
        message = "nobody foresaw this"
        raise ZeroDivisionError(message)

    monkeypatch.setattr("model_loop.cli.app.run", broken)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 70
    assert "ZeroDivisionError: nobody foresaw this" in capsys.readouterr().err


def test_prepare_as_json(tmp_path: Path) -> None:
    """`prepare --json` prints one object with rows, columns and the digest."""
    done = run("prepare", "--recipe", "pair_distance", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = found["rows"]
    assert rows["all"] == rows["train"] + rows["validation"] > 1_000
    assert found["columns"]["all"] > found["columns"]["train"] > 100
    assert len(found["digest"]) == 64
    assert found["data_source"] == "sample"


def test_prepare_as_table(tmp_path: Path) -> None:
    """Without --json a person gets a table that says that the data are sample data."""
    done = run("prepare", folder=tmp_path)
    assert "green, SAMPLE data, recipe booking, asked when a ride is booked" in done.stdout
    assert "train and validation" in done.stdout


def test_tune_shows_progress_and_results(tmp_path: Path) -> None:
    """`tune` reports each trial as it finishes, and prints the families best first."""
    done = run(
        *("tune", "--model", "svm.LinearSVR", "--model", "linear_model.LinearRegression"),
        *("--max-evaluations", "2", "--json"),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "svm.LinearSVR: trial 2 of at most 2: validation RMSE" in done.stderr
    families = json.loads(done.stdout)["families"]
    errors = [family["validation_rmse"] for family in families]
    assert errors == sorted(errors)
    assert {family["family"] for family in families} == {
        "svm.LinearSVR",
        "linear_model.LinearRegression",
    }


@pytest.mark.whole_months
def test_real_months(whole_months: str, tmp_path: Path) -> None:
    """On green 2024-01 to 2024-03, XGBoost reaches the error that the months allow."""
    months = ("--train", "2024-01", "--validation", "2024-02", "--test", "2024-03")
    search = ("--recipe", "rich", "--model", "xgboost", "--max-evaluations", "2")
    done = run("train", "--source", whole_months, *months, *search, "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["data_source"] == "folder"
    # Of 54,378 trips of the course's bounds, seven have a wrong clock.
    assert found["rows"]["train"] == 54_371
    assert found["families"][0]["validation_rmse"] <= 4.02


def test_train_saves_models(tmp_path: Path) -> None:
    """`train --output` saves a model that predicts from raw trips, and judges it on test months."""
    arguments = ("train", "--model", "xgboost", "--max-evaluations", "1", "--test", "2024-03")
    done = run(
        *arguments, "--recipe", "pair_distance", "--output", "models", "--json", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (family,) = json.loads(done.stdout)["families"]
    assert 0 < family["test_rmse"] < 15
    model = mlflow.pyfunc.load_model(str(tmp_path / "models" / "xgboost"))
    predicted = model.predict(model.input_example)
    assert all(1 < minutes < 90 for minutes in predicted)
    again = run(*arguments, "--output", "models", folder=tmp_path)
    assert again.returncode == 2
    assert "exists. Choose a new folder" in again.stderr


def test_sample_is_a_source_afterwards(tmp_path: Path) -> None:
    """`sample` writes labelled months that `prepare --source` takes, and overwrites nothing."""
    arguments = ("sample", "months", "--months", "2024-01..2024-02", "--trips", "500")
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert is_sample(tmp_path / "months" / "green_tripdata_2024-02.parquet")
    prepared = run("prepare", "--source", "months", "--json", folder=tmp_path)
    assert json.loads(prepared.stdout)["data_source"] == "sample"
    again = run(*arguments, folder=tmp_path)
    assert again.returncode == 2
    assert "exists" in again.stderr


def test_tokens_have_rights_and_an_end(tmp_path: Path) -> None:
    """Rights and end of a token are said when it is made and listed, and refused where wrong."""
    serving = {"MODEL_LOOP_SERVING_FOLDER": str(tmp_path)}
    options = ("--scopes", "predict", "feedback", "--datasets", "green", "--days", "90")
    made = run("tokens", "add", "app", *options, "--json", folder=tmp_path, **serving)
    assert made.returncode == 0, made.stderr
    secret = json.loads(made.stdout)["token"]
    listed = run("tokens", "list", "--json", folder=tmp_path, **serving)
    (token,) = json.loads(listed.stdout)["tokens"]
    assert (token["name"], token["scopes"], token["datasets"]) == (
        "app",
        ["predict", "feedback"],
        ["green"],
    )
    assert token["expires"] - token["made"] == 90 * 86_400
    table = run("tokens", "list", folder=tmp_path, **serving).stdout
    assert "predict, feedback" in table
    assert secret not in listed.stdout + table
    for wrong, named in (
        (("--scopes", "predicts"), "Did you mean"),
        (("--datasets", "gren"), "green, yellow, fhvhv"),
        (("--days", "0"), "days"),
    ):
        refused = run("tokens", "add", "other", *wrong, folder=tmp_path, **serving)
        assert refused.returncode == 2
        assert named in refused.stderr


@pytest.mark.parametrize("value", ["*", "https://a.b/", "https://*.b", "a.b", "https://A.B, x"])
def test_origins_are_whole(tmp_path: Path, value: str) -> None:
    """A setting that would let in more pages than one each is refused, by every command."""
    refused = run("tokens", "list", folder=tmp_path, MODEL_LOOP_SERVING_CORS_ORIGINS=value)
    assert refused.returncode == 2
    assert "is not an origin" in refused.stderr


def without_distance(file: Path) -> None:
    """Take a column out of a month."""
    pq.write_table(pq.read_table(file).drop_columns(["trip_distance"]), file)


@pytest.mark.parametrize("content", [b"", b"<html>", b"PAR1"], ids=["empty", "page", "cut"])
def test_a_file_that_cannot_be_opened_is_a_finding(content: bytes, tmp_path: Path) -> None:
    """A program reads what refuses a month from one place, whatever it is."""
    run("sample", "months", "--months", "2024-01..2024-02", "--trips", "300", folder=tmp_path)
    (tmp_path / "months" / "green_tripdata_2024-02.parquet").write_bytes(content)
    done = run("prepare", "--source", "months", "--json", folder=tmp_path)
    assert done.returncode == 2
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["partition"], finding["level"]) == ("2024-02", "refused")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("monitor --days nan", "days = nan is out of bounds"),
        ("monitor --days 1e300", "days = 1e+300 is out of bounds"),
        ("monitor --days 0", "days = 0.0 is out of bounds"),
        (
            "monitor --month 2024-04 --days 7",
            "--days 7 cannot be combined with --partition 2024-04",
        ),
        ("ab-report --days nan", "days = nan is out of bounds"),
        ("ab-report --days -1", "days = -1.0 is out of bounds"),
        ("sample months --months=", "The list of months is empty"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(
    arguments: str, message: str, tmp_path: Path
) -> None:
    """Neither a traceback nor an empty report, which would look like one of no difference."""
    done = run(*arguments.split(), folder=tmp_path, MODEL_LOOP_TRACKING_URI="http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        ("traffic rollback", {"MODEL_LOOP_TRACKING_URI": "http://127.0.0.1:1"}),
        ("export-requests days", {"MODEL_LOOP_REQUEST_LOG_URL": "sqlite:////proc/no/log.db"}),
        ("score s3://nowhere/trips.csv", {}),
    ],
    ids=["tracking", "request log", "storage"],
)
def test_a_server_that_does_not_answer_is_no_defect(
    arguments: str, setting: dict[str, str], tmp_path: Path
) -> None:
    """Somebody who has not started it, or given no login, gets a sentence and no traceback."""
    at_once = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "AWS_EC2_METADATA_DISABLED": "true"}
    done = run(*arguments.split(), folder=tmp_path, **setting, **at_once)
    assert done.returncode == 2, done.stderr
    assert "A server that the command needs did not answer, or refused it (" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.write_bytes(b""), "is empty (0 bytes)"),
        (lambda file: file.write_bytes(b"<html>"), "is not a readable Parquet file"),
        (
            lambda file: file.write_bytes(file.read_bytes()[:5_000]),
            "is not a readable Parquet file",
        ),
        (without_distance, "lacks the column trip_distance"),
        (Path.unlink, "lacks green_tripdata_2024-02.parquet"),
    ],
    ids=["empty", "web page", "truncated", "column", "missing"],
)
def test_bad_files(spoil: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    """A month that cannot be used ends with exit code 2 and a message that names it."""
    run("sample", "months", "--months", "2024-01..2024-02", "--trips", "300", folder=tmp_path)
    spoil(tmp_path / "months" / "green_tripdata_2024-02.parquet")
    done = run("prepare", "--source", "months", folder=tmp_path)
    assert done.returncode == 2
    assert "2024-02" in done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prepare", "--service", "purple"), "Variant 'purple' is unknown"),
        (("prepare", "--train", "2024-13"), "Month '2024-13' is not a month"),
        (("prepare", "--validation", "2099-01"), "Month 2099-01 has not ended"),
        (("prepare", "--train", "2024-03"), "is not after the train month 2024-03"),
        (("prepare", "--source", "nowhere"), "Source folder nowhere does not exist"),
        (("prepare", "--source", "http://127.0.0.1:9"), "did not answer"),
        (("prepare", "--recipe", "secret"), "Recipe 'secret' is unknown"),
        (
            ("prepare", "--train-share", "0.5"),
            "--train-share is not an option of the dataset",
        ),
        (("prepare", "--dataset", "bikes", "--train", "2024-01"), "--train is not an option"),
        (("prepare", "--dataset", "bikes", "--train-share", "0.9"), "do not add up to 1"),
        (("prepare", "--encoding", "morse"), '"morse" for --encoding'),
        (("prepare", "--maximum-duration", "0.5"), "are not a range"),
        (("prepare", "--minimum-duration", "9000", "--maximum-duration", "9999"), "no trip left"),
        (("tune", "--model", "linear_model.Ridge"), "Model family 'linear_model.Ridge' is unknown"),
        (("tune", "--max-evaluations", "0"), "max_evaluations = 0 is out of bounds"),
        (("train", "--max-evaluations", "-3"), "max_evaluations = -3 is out of bounds"),
        (("tune", "--search-algorithm", "guess"), "guess"),
        (("tune", "--random-state", "4294967296"), "random_state = 4294967296 is out of bounds"),
        (
            ("tune", "--dataset", "diabetes", "--primary-metric", "rmse"),
            "Primary metric 'rmse' is of numbers, and the target Diabetic is of classes",
        ),
        (
            ("train", "--primary-metric", "roc_auc"),
            "Primary metric 'roc_auc' is of classes, and the target duration is of numbers",
        ),
        (
            ("run", "diabetes", "--primary-metric", "mae"),
            "Primary metric 'mae' is of numbers, and the target Diabetic is of classes",
        ),
        (
            ("tune", "--dataset", "diabetes", "--model", "linear_model.Lasso"),
            "Model family 'linear_model.Lasso' learns numbers, and the target is a class",
        ),
        (
            ("run", "bikes", "--models", "svm.LinearSVC"),
            "Model family 'svm.LinearSVC' learns classes, and the target is a number",
        ),
        (("sample", "months", "--trips", "0"), "trips = 0 is out of bounds"),
        (("prepare", "--nonsense"), "Unknown option"),
        (
            ("prepare", "--source", "no [final] folder [/h]"),
            "no [final] folder [/h] does not exist",
        ),
        (("score", "trips [final].csv"), "trips [final].csv is not there"),
        (("score", "[/h].txt"), "[/h].txt is none of CSV, Parquet, Arrow, JSON lines"),
        (("products", "show", "[bold]no"), "[bold]no"),
        (("nonsense",), "nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """Bad input ends with exit code 2 and one message that names it, without a traceback."""
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("name", ["trips [final].csv", "[/h].csv", ":smile:.csv"])
def test_what_users_have_written_is_printed_as_it_is(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither paths nor reasons are markup, wherever a command prints them."""
    result = JobResult(
        input=name,
        output=name,
        rejected=f"{tmp_path}/{name}",
        rows=3,
        predicted_rows=2,
        rejected_rows=1,
        model="trip_duration_green",
        model_version=3,
        reason=f"trip_distance [miles] = {name} is not a number",
    )
    print_results([result], as_json=False)
    print_written([name], as_json=False)
    print_error(InvalidInputError(name, "is wrong", "Correct it."))
    found = capsys.readouterr()
    assert found.out.count(name) == 4
    assert "[miles]" in found.out
    assert f"{name} is wrong. Correct it." in found.err


def test_commands_print_from_one_place() -> None:
    """Another console would read what users have written as markup."""
    rooms = (Path(cli.__file__).parent).glob("*.py")
    found = [path.name for path in rooms if "Console(" in path.read_text()]
    assert found == ["console.py"]


def test_a_setting_that_cannot_be(tmp_path: Path) -> None:
    """The message names the environment variable."""
    done = run("products", "list", folder=tmp_path, MODEL_LOOP_SAMPLE_SEED="x [/h]")
    assert done.returncode == 2
    assert "MODEL_LOOP_SAMPLE_SEED = 'x [/h]' is not a valid value of this setting" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_where_nothing_can_be_written(tmp_path: Path) -> None:
    """What the system refuses is told without a traceback."""
    (tmp_path / "months").write_text("a file")
    done = run("sample", "months", "--trips", "100", folder=tmp_path)
    assert done.returncode == 2
    assert "months" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_called_like_a_file(tmp_path: Path) -> None:
    """It is named, and not passed over."""
    (tmp_path / "in" / "2024-01.parquet").mkdir(parents=True)
    (tmp_path / "in" / "b.csv").touch()
    done = run("score", "in", folder=tmp_path)
    assert done.returncode == 2
    assert "2024-01.parquet lies among the files to score" in done.stderr


def test_products_are_listed_shown_and_pruned(tmp_path: Path) -> None:
    """`prepare --keep` keeps a product; it is listed, shown with its months, and pruned."""
    done = run("prepare", "--keep", "--recipe", "booking", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (product,) = json.loads(run("products", "list", "--json", folder=tmp_path).stdout)["products"]
    assert (product["recipe"], product["service"]) == ("booking", "green")
    assert (product["data_source"], product["moment"]) == ("sample", "booked")
    listed = run("products", "list", folder=tmp_path).stdout
    assert product["key"][:12] in listed
    assert "SAMPLE data" in listed
    shown = json.loads(
        run("products", "show", product["key"][:10], "--json", folder=tmp_path).stdout
    )
    assert [month["use"] for month in shown["months"]] == ["train", "validation"]
    assert all(month["url"].startswith("sample:") for month in shown["months"])
    # The tag `training_set` of models and runs is the digest.
    by_tag = run("products", "show", product["digest"], "--json", folder=tmp_path).stdout
    assert json.loads(by_tag)["key"] == product["key"]
    text = run("products", "show", product["key"][:10], folder=tmp_path).stdout
    assert shown["months"][0]["digest"][:12] in text
    everything = ("products", "prune", "--versions", "0", "--days", "0")
    looked = run(*everything, folder=tmp_path)
    assert "To be removed with --remove: 1 training sets" in looked.stdout
    removed = json.loads(run(*everything, "--remove", "--json", folder=tmp_path).stdout)
    assert removed["training_sets"] == [product["key"]]
    assert "No training set is kept" in run("products", "list", folder=tmp_path).stdout
    assert not list((tmp_path / ".state").rglob("*.parquet"))
