"""Models from elsewhere: what is brought in, and what is refused, against a real MLflow server."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.objects.crafted import command
from tests.variants import made_up

from model_loop.errors import InvalidInputError, StoredObjectError
from model_loop.tracking.deployments import BROUGHT_IN
from model_loop.tracking.foreign import INCOMING, import_model
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.registry import RegisteredModel, load_registered
from model_loop.tracking.runs import Tracker

pytestmark = pytest.mark.integration

TRIPS = pd.DataFrame(
    {
        "PULocationID": pd.Series([74, 239, 65, 7], dtype="int32"),
        "DOLocationID": pd.Series([75, 236, 170, 8], dtype="int32"),
        "trip_distance": [1.0, 2.0, 6.5, 0.7],
    }
)
MINUTES = np.array([6.0, 11.5, 21.0, 4.0])


@pytest.fixture
def promoter(tracker: Tracker, request: pytest.FixtureRequest) -> Promoter:
    """A service without models."""
    return Promoter(
        Tracker(tracker.tracking_uri, "foreign"), made_up(request.node.name[:60]), "ended"
    )


def theirs(columns: list[str]) -> Pipeline:
    """A model that somebody else has trained."""
    scaled = make_column_transformer((StandardScaler(), columns))
    return make_pipeline(scaled, Ridge()).fit(TRIPS[columns], MINUTES)


def lay(storage: Path, model: Pipeline, columns: list[str], *, pickled: bool = False) -> str:
    """Lay it where models come in."""
    mlflow.sklearn.save_model(
        model,
        str(storage / INCOMING / "theirs"),
        signature=infer_signature(TRIPS[columns], MINUTES),
        serialization_format="cloudpickle" if pickled else "skops",
        pip_requirements=["scikit-learn"],
    )
    return "theirs"


def bring(promoter: Promoter, model: str, storage: Path) -> RegisteredModel:
    """Bring it in."""
    identity = f"{promoter.service}/model"
    root = str(storage)
    return import_model(
        promoter.versions, model, lambda _: TRIPS, identity=identity, storage_root=root
    )


def test_a_folder_is_brought_in_once(promoter: Promoter, tmp_path: Path) -> None:
    """The version predicts what the model does; a second try registers nothing more."""
    columns = ["trip_distance"]
    model = theirs(columns)
    registered = bring(promoter, lay(tmp_path, model, columns), tmp_path)
    assert bring(promoter, "theirs", tmp_path) == registered
    loaded = load_registered(promoter.tracker, promoter.name, registered.version)
    assert loaded.inputs == ("trip_distance",)
    np.testing.assert_array_equal(loaded.model.predict(TRIPS), model.predict(TRIPS))
    version = promoter.tracker.client.get_model_version(promoter.name, str(registered.version))
    assert version.tags[BROUGHT_IN] == "theirs"


def test_a_model_that_runs_a_command_is_not_brought_in(promoter: Promoter, tmp_path: Path) -> None:
    """A folder whose model would start a process is refused before it does; nothing is made."""
    lay(tmp_path, theirs(["trip_distance"]), ["trip_distance"])
    (tmp_path / INCOMING / "theirs" / "model.skops").write_bytes(command(tmp_path / "marker"))
    with pytest.raises(StoredObjectError, match=r"not trusted: .*_run"):
        bring(promoter, "theirs", tmp_path)
    assert not (tmp_path / "marker").exists()
    assert not promoter.tracker.client.search_model_versions(f"name = '{promoter.name}'")


def test_a_run_is_brought_in(promoter: Promoter) -> None:
    """The address of a run's model does as well as a folder."""
    mlflow.set_tracking_uri(promoter.tracker.tracking_uri)
    run_id = promoter.tracker.open_run("theirs", "theirs", {})
    with mlflow.start_run(run_id=run_id):
        mlflow.sklearn.log_model(
            theirs(["trip_distance"]),
            name="model",
            signature=infer_signature(TRIPS[["trip_distance"]], MINUTES),
            serialization_format="skops",
            pip_requirements=["scikit-learn"],
        )
    registered = bring(promoter, f"runs:/{run_id}/model", Path("/nowhere"))
    assert registered.version == 1


def test_what_cannot_be_brought_in(promoter: Promoter, tmp_path: Path) -> None:
    """A pickle, unknown columns, no signature, paths to elsewhere: refused, nothing registered."""
    lay(tmp_path, theirs(["trip_distance"]), ["trip_distance"], pickled=True)
    with pytest.raises(InvalidInputError, match="not a scikit-learn model stored by skops"):
        bring(promoter, "theirs", tmp_path)
    for name in ("../theirs", "/etc", "file:///etc", "theirs/../..", "s3://bucket/model"):
        with pytest.raises(InvalidInputError, match="neither an address"):
            bring(promoter, name, tmp_path)
    with pytest.raises(InvalidInputError, match="There are: theirs"):
        bring(promoter, "others", tmp_path)
    with pytest.raises(InvalidInputError, match="is not on the server"):
        bring(promoter, "models:/no-such-model/1", tmp_path)
    assert not promoter.tracker.client.search_model_versions(f"name = '{promoter.name}'")


@pytest.mark.parametrize("fault", ["columns", "signature"])
def test_a_model_that_trips_do_not_fit(promoter: Promoter, tmp_path: Path, fault: str) -> None:
    """What it takes has to be known, and to be what trips have."""
    columns = ["trip_distance"]
    place = str(tmp_path / INCOMING / "theirs")
    other = TRIPS[columns].rename(columns={"trip_distance": "miles"})
    signature = infer_signature(other, MINUTES) if fault == "columns" else None
    mlflow.sklearn.save_model(
        theirs(columns), place, signature=signature, pip_requirements=["scikit-learn"]
    )
    message = "asks for miles" if fault == "columns" else "has no signature"
    with pytest.raises(InvalidInputError, match=message):
        bring(promoter, "theirs", tmp_path)
