"""DAGs of declared datasets: ids, forms, and files that are broken."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.definitions.param import process_params
from airflow.serialization.serialized_objects import DagSerialization
from jinja2 import Template

from model_loop.datasets.registration import add_dataset, remove_dataset
from model_loop.datasets.registry import get_dataset
from model_loop.datasets.stubs import is_stub, stub_name, stub_of
from model_loop.errors import InvalidInputError
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.conventions import require_known_fields
from model_loop.orchestration.forms.completing import completed_form, variant_conf
from model_loop.orchestration.names import dag_id_of, dataset_of_dag, job_of
from model_loop.settings import get_settings

RIDES = """
name = "rides"
title = "Ferry rides"
target = "delay"
source = "data/rides-{partition}.csv"
partition = "week"
owner = "harbour@example.org"
schedule = "0 5 * * 1"
moments = ["planned", "left"]

[access]
Captain = ["read", "run"]

[time]
column = "at"

[task]
unit = "min"

[columns.at]
type = "time"

[columns.wind]
type = "number"
unit = "knots"
title = "wind"
description = "Mean of the last hour."
constraints = { minimum = 0, maximum = 200 }

[columns.line]
type = "category"
categories = ["north", "south"]
constraints = { required = true }
example = "north"

[columns.night]
type = "yes_no"

[columns.version]
type = "number"

[columns.left_late]
type = "number"
known = "left"

[recipes.planned]
at = "planned"

[recipes.left]
at = "left"
"""
PLAIN = """
name = "plain"
target = "y"
source = "plain.csv"

[columns.x]
type = "number"
"""
HARBOURS = PLAIN.replace("plain", "harbours") + "\n[variants.east]\n\n[variants.west]\n"
JOBS = {
    "batch_scoring",
    "blend",
    "data_preparation",
    "labels",
    "monitoring",
    "prediction",
    "promotion",
    "promotion_override",
    "retraining",
    "sklearn_training",
    "xgboost_training",
}

ReadDags = Callable[..., DagBag]


@pytest.fixture
def read_dags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReadDags]:
    """Write declarations with their stubs, and read the DAGs as Airflow does."""
    datasets, dags = tmp_path / "datasets", tmp_path / "dags"
    datasets.mkdir()
    dags.mkdir()
    monkeypatch.setenv("MODEL_LOOP_DATASETS_FOLDER", str(datasets))
    get_settings.cache_clear()

    def read(**declarations: str) -> DagBag:
        for name, text in declarations.items():
            (datasets / f"{name}.toml").write_text(text)
            (dags / stub_name(name)).write_text(stub_of(name))
        return DagBag(dag_folder=str(dags), bundle_path=dags, bundle_name="declared")

    yield read
    get_settings.cache_clear()


@pytest.fixture
def rides(read_dags: ReadDags) -> dict[str, DAG]:
    """The DAGs of the dataset `rides`."""
    bag = read_dags(rides=RIDES)
    assert bag.import_errors == {}
    return dict(bag.dags)


def field(dag: DAG, name: str) -> dict[str, Any]:
    """The schema of a field of a form, with its description."""
    param = dag.params.get_param(name)
    return {**param.schema, "description": param.description}


@pytest.mark.parametrize(
    ("keys", "name"),
    [(["2024-01"], "2024-01"), (["2024-01", "2024-02", "2024-03"], "2024-01 … 2024-03")],
)
def test_a_task_of_several_partitions_is_named_by_its_ends(
    rides: dict[str, DAG], keys: list[str], name: str
) -> None:
    """A single partition is named once."""
    task: Any = SimpleNamespace(
        op_kwargs={"partitions": keys, "fetched": [SimpleNamespace(partition=key) for key in keys]}
    )
    for step in ("fetch_partition", "check_partition"):
        template = rides["rides__data_preparation"].get_task(step).map_index_template
        assert template is not None
        assert Template(template).render(task=task) == name


def test_a_stub_brings_all_jobs(read_dags: ReadDags) -> None:
    """Ids begin with the name of the dataset; a variant has partitions of its own."""
    bag = read_dags(rides=RIDES, plain=PLAIN, harbours=HARBOURS)
    assert bag.import_errors == {}
    partitions = {"rides__partitions"}
    watching = {"new_partitions", "watch_partitions"}
    assert set(bag.dags) == partitions | {
        f"{name}__{job}" for name in ("rides", "plain", "harbours") for job in JOBS | watching
    }
    weekly = HARBOURS.replace('source = "harbours.csv"', 'source = "{partition}.csv"')
    weekly = weekly.replace('target = "y"', 'target = "y"\npartition = "week"')
    found = set(read_dags(harbours=weekly).dags)
    assert {"harbours__east_partitions", "harbours__west_partitions"} <= found


def test_a_broken_declaration_takes_down_its_own_dags_alone(read_dags: ReadDags) -> None:
    """Its file shows what is wrong with it, as Airflow's import error."""
    bag = read_dags(rides=RIDES.replace('unit = "knots"', 'units = "knots"'), plain=PLAIN)
    ((file, message),) = bag.import_errors.items()
    assert file.endswith("rides.py")
    assert "columns.wind.units" in message
    assert "Did you mean unit?" in message
    assert {dag_id.partition("__")[0] for dag_id in bag.dags} == {"plain"}


def test_a_dataset_of_the_package_may_be_left_out(
    read_dags: ReadDags, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its file is no error where another folder of datasets is named; a name unknown to all is."""
    for name in ("bikes", "boats"):
        (tmp_path / "dags" / stub_name(name)).write_text(stub_of(name))
    bag = read_dags(plain=PLAIN)
    ((file, message),) = bag.import_errors.items()
    assert file.endswith("boats.py")
    assert "Dataset 'boats'" in message
    assert {dag_id.partition("__")[0] for dag_id in bag.dags} == {"plain"}
    assert "bikes is not in the folder" in caplog.text


def test_dags_show_whose_they_are(rides: dict[str, DAG]) -> None:
    """Title, tag, owner, access and schedule are those of the declaration."""
    assert len(rides) > len(JOBS)
    for dag_id, dag in rides.items():
        assert dag.dag_display_name.startswith("Ferry rides: "), dag_id
        assert "rides" in dag.tags, dag_id
        assert {task.owner for task in dag.tasks} == {"harbour@example.org"}, dag_id
        assert "If it fails" in (dag.doc_md or ""), dag_id
        assert dag.access_control == {
            "Captain": {
                "DAG Runs": ["can_create", "can_read"],
                "DAGs": ["can_edit", "can_read"],
            }
        }, dag_id
    assert "0 5 * * 1" in json.dumps(DagSerialization.to_dict(rides["rides__retraining"]))


def test_tasks_hold_no_copy_of_the_form(rides: dict[str, DAG]) -> None:
    """Airflow would serialize every copy; a run has the values of the DAG's form all the same."""
    for dag_id, dag in rides.items():
        assert dag.params, dag_id
        assert not any(task.params for task in dag.tasks), dag_id
        read = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert list(read.params) == list(dag.params), dag_id
    dag = rides["rides__promotion"]
    values = process_params(dag, dag.get_task("judge"), {"why": "better"}, suppress_exception=False)
    assert (values["action"], values["why"]) == ("promote", "better")


def test_runs_trigger_the_dags_of_their_own_dataset(rides: dict[str, DAG]) -> None:
    """A retraining prepares, trains and promotes the same table, and Airflow's graph shows it.

    Other modules of the tests may have imported the operator before Airflow's serialization.
    """
    dag = rides["rides__retraining"]
    triggered = {task.trigger_dag_id for task in dag.tasks if hasattr(task, "trigger_dag_id")}
    assert triggered == {
        f"rides__{job}"
        for job in (
            "blend",
            "data_preparation",
            "promotion",
            "sklearn_training",
            "xgboost_training",
        )
    }
    shown = DagSerialization.to_dict(dag)["dag"]["dag_dependencies"]
    targets = {each["target"] for each in shown if each["dependency_type"] == "trigger"}
    assert targets == triggered | {"rides__retraining"}


def test_assets_are_of_the_dataset(rides: dict[str, DAG]) -> None:
    """No event of one table starts a run about another."""
    assets = assets_of(get_dataset("rides"))
    assert assets.published.name == "rides__published_partitions"
    assert assets.drift.uri == "model-loop://rides/monitoring/drift"
    results = rides["rides__data_preparation"].get_task("results")
    assert results.outlets == [assets.training_set]


def test_the_form_of_a_prediction_follows_from_the_columns(rides: dict[str, DAG]) -> None:
    """Types, titles, units, bounds and proposals are those of the declaration."""
    dag = rides["rides__prediction"]
    wind = field(dag, "wind")
    assert (wind["title"], wind["description"]) == ("Wind (knots)", "Mean of the last hour.")
    assert (wind["minimum"], wind["maximum"]) == (0, 200)
    assert wind["type"] == ["null", "number"]
    assert field(dag, "line")["examples"] == ["north", "south"]
    assert "enum" not in field(dag, "line")
    assert field(dag, "night")["type"] == ["null", "boolean"]
    assert field(dag, "at")["format"] == "date-time"
    # A field of the form's own keeps its name, and the column gets another.
    assert field(dag, "version")["title"] == "Version"
    assert field(dag, "column_version")["type"] == ["null", "number"]
    assert field(dag, "moment")["enum"] == ["any", "planned", "left"]


def test_forms_ask_for_nothing_that_can_have_one_value(
    read_dags: ReadDags, rides: dict[str, DAG]
) -> None:
    """There is no field for the only variant, recipe or moment, nor for partitions of a whole."""
    plain = read_dags(plain=PLAIN).dags
    for job in ("data_preparation", "retraining", "prediction", "promotion", "monitoring"):
        names = set(plain[f"plain__{job}"].params)
        assert not names & {"variant", "service", "recipe", "moment", "partitions"}, job
        assert not names & {"train_months", "newest_month", "months"}, job
    assert "recipe" in rides["rides__data_preparation"].params
    pattern = field(rides["rides__batch_scoring"], "partitions")["items"]["pattern"]
    assert "W" in pattern


def test_steps_are_given_what_the_form_does_not_ask_for(rides: dict[str, DAG]) -> None:
    """Variant and recipe are in the values of every run."""
    dag = rides["rides__retraining"]

    class Run:
        conf = {"again": True}  # noqa: RUF012 - read alone

    context: Any = {"dag": dag, "dag_run": Run, "params": {"again": True}}
    require_known_fields(context)
    assert context["params"] == {"again": True, "recipe": "planned", "service": "rides"}


def test_a_variant_is_named_where_there_are_several(read_dags: ReadDags) -> None:
    """Forms, and runs that begin others, name it by the dataset's own field."""
    dags = read_dags(harbours=HARBOURS).dags
    harbours = get_dataset("harbours")
    assert field(dags["harbours__promotion"], "variant")["enum"] == [
        "harbours.east",
        "harbours.west",
    ]
    assert variant_conf(harbours, "harbours.west") == {"variant": "harbours.west"}
    assert completed_form(harbours, {"variant": "harbours.west"})["service"] == "harbours.west"
    assert completed_form(harbours, {})["service"] == "harbours.east"


def test_a_dag_is_read_twice_the_same(read_dags: ReadDags, tmp_path: Path) -> None:
    """Nothing of a DAG comes from data: a new file gives no new version."""

    def serialized() -> dict[str, str]:
        bag = read_dags(rides=RIDES)
        return {
            dag_id: json.dumps(DagSerialization.to_dict(dag), sort_keys=True)
            for dag_id, dag in bag.dags.items()
        }

    first = serialized()
    folder = tmp_path / "datasets" / "data"
    folder.mkdir()
    (folder / "rides-2024-W01.csv").write_text("at,wind,line\n2024-01-01,3,west\n")
    assert serialized() == first
    assert len(first) == len(JOBS) + 3


def test_ids_lead_back_to_the_dataset(rides: dict[str, DAG]) -> None:
    """Alerts and steps find the dataset and the job of a DAG by its id."""
    del rides
    dataset = get_dataset("rides")
    dag_id = dag_id_of(dataset, "promotion_override")
    assert dag_id == "rides__promotion_override"
    assert (dataset_of_dag(dag_id), job_of(dag_id)) == (dataset, "promotion_override")
    assert dataset_of_dag("maintenance") is None


def test_only_an_unchanged_stub_is_one(tmp_path: Path) -> None:
    """A file that somebody has changed is not taken for what a command has written."""
    path = tmp_path / "rides.py"
    assert not is_stub(path)
    path.write_text(stub_of("rides"))
    assert is_stub(path)
    path.write_text(stub_of("rides") + "\nprint('mine')\n")
    assert not is_stub(path)


def test_airflow_looks_into_a_stub(tmp_path: Path) -> None:
    """It reads only files that hold both words."""
    text = stub_of("rides").lower()
    assert "dag" in text
    assert "airflow" in text
    assert len([line for line in stub_of("rides").splitlines() if line]) == 3
    assert (tmp_path / stub_name("rides")).name == "rides.py"


def test_adding_a_dataset_brings_its_dags_and_removing_it_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of the DAGs comes and goes with the declaration; another file of its name stays."""
    datasets, dags = tmp_path / "datasets", tmp_path / "dags"
    for folder in (datasets, dags):
        folder.mkdir()
    monkeypatch.setenv("MODEL_LOOP_DATASETS_FOLDER", str(datasets))
    monkeypatch.setenv("MODEL_LOOP_DAGS_FOLDER", str(dags))
    get_settings.cache_clear()
    file, storage = tmp_path / "plain.toml", (tmp_path / "storage").as_uri()
    file.write_text(PLAIN)
    add_dataset(file, storage)
    assert (dags / "plain.py").read_text() == stub_of("plain")
    remove_dataset("plain", storage)
    assert not (dags / "plain.py").exists()
    (dags / "plain.py").write_text("# mine\n")
    with pytest.raises(InvalidInputError, match="is there already"):
        add_dataset(file, storage)
    assert not (datasets / "plain.toml").exists()
