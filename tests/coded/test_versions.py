"""Code as a version of a dataset: registered, judged, served, explained, and refused elsewhere."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from tests.coded.conftest import MANIFEST, NAME, SCRIPT, Loop, lay

from model_loop.coded.answers import CodeModel
from model_loop.coded.folder import read_folder
from model_loop.coded.registration import (
    Approval,
    build_environment,
    change_values,
    dataset_for_code,
    environments_in_use,
    note_admission,
    register_code,
    rotate_keys,
    try_code,
)
from model_loop.coded.sealing import Seal, new_key
from model_loop.coded.stored import client_of, stored_code
from model_loop.coded.versions import ADMISSION, load_any
from model_loop.errors import InvalidInputError, ModelLoopError, StoredObjectError
from model_loop.models.gate_rules import GateRules
from model_loop.monitoring.drift import shap_of_window
from model_loop.monitoring.window_drift import known_profile, profile_version
from model_loop.orchestration.steps import maintenance
from model_loop.runner.environments import environment_path
from model_loop.runner.errors import CodeFailedError
from model_loop.scoring.predictor import RegisteredVersion, load_predictor
from model_loop.scoring.rows import from_frame
from model_loop.serving.compiled.compiler import explainer_for
from model_loop.serving.http.requests import RequestRefusedError
from model_loop.serving.models.coded import start_served
from model_loop.serving.models.predictor import ServedVersion
from model_loop.serving.models.registry import MlflowRegistry
from model_loop.settings import get_settings
from model_loop.tracking.actions import Action
from model_loop.tracking.challengers import example_rows, judge_version
from model_loop.tracking.downloads import download_model, read_artifact
from model_loop.tracking.registry import load_registered

pytestmark = pytest.mark.integration

VALUES = {"DAYS_AT_LEAST": "2.0"}
#: A key that has sealed nothing.
OTHER_KEY = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="
ADA = Approval("Ada", "Grace", "rules are enough")


def admit(loop: Loop, code: Path, values: dict[str, str] | None = None) -> int:
    """Bring code in, as the command and the DAG do."""
    versions = loop.promoter.versions
    dataset = dataset_for_code(versions)
    found = read_folder(code, dataset)
    build_environment(found, loop.settings)
    example = example_rows(
        versions,
        found.description.columns(dataset),
        storage_root=loop.settings.storage_root,
        timeout_seconds=1.0,
    )
    given = VALUES if values is None else values
    try_code(found, dataset, example, given, loop.settings)
    keys, identity = loop.settings.code_keys, f"test/{code.name}"
    registered = register_code(versions, found, dataset, given, ADA, identity=identity, keys=keys)
    note_admission(versions, found, dataset, ADA, registered.version, identity)
    return registered.version


def truth(rows: pd.DataFrame) -> np.ndarray:
    """Answers of the code to rows."""
    weekend = pd.to_datetime(rows["sent_at"], unit="s").dt.weekday > 4
    return np.asarray(
        2.0
        + 2.0 * (rows["carrier"] == "cat")
        + 0.2 * rows["weight"]
        - rows["express"].astype(float)
        + 1.5 * weekend
    )


@pytest.fixture(scope="module")
def version(loop: Loop) -> int:
    """A version that is code."""
    return admit(loop, lay(loop.folder / "rules"))


def test_it_is_registered_with_every_digest(loop: Loop, version: int) -> None:
    """Tags, artifacts and the history lead back to each file; no value is anywhere."""
    client, versions = loop.promoter.tracker.client, loop.promoter.versions
    found = read_folder(loop.folder / "rules", loop.dataset)
    registered = versions.find(version)
    assert registered.tags["code"] == found.description.digest
    assert versions.moment(version) == "sent"
    (entry, *_) = loop.promoter.history()
    assert (entry.kind, entry.version, entry.who, entry.approver) == (
        "admit_code",
        version,
        "Ada",
        "Grace",
    )
    assert found.description.digest in entry.remarks
    evidence = client.download_artifacts(entry.run_id, "evidence.json", str(loop.folder))
    assert set(found.package.files.values()) <= {
        cell for row in json.loads(Path(evidence).read_text())["data"] for cell in row
    }
    assert loop.promoter.standing().champion == 1


def test_the_gate_judges_it_on_the_same_rows(loop: Loop, version: int) -> None:
    """Code that knows the rule beats a line, through the runner."""
    verdict = judge_version(
        loop.promoter,
        version,
        GateRules(),
        storage_root=loop.settings.storage_root,
        timeout_seconds=1.0,
        load=load_any,
    )
    assert verdict.passed, verdict.markdown
    assert verdict.champion == 1


def test_batches_and_tasks_ask_the_runner(
    loop: Loop, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A version that is loaded for a file predicts and explains it; others are loaded as ever."""
    caplog.set_level(logging.INFO)
    rows = loop.training_set.test_inputs.head(5)
    registered = RegisteredVersion(NAME, version)
    predictor = load_predictor(loop.promoter.versions, registered, load_any)
    np.testing.assert_allclose(predictor.predict(rows), truth(rows))
    assert "Train a new version" not in caplog.text
    found = explainer_for(predictor)(from_frame(loop.dataset, rows, predictor.columns))
    np.testing.assert_allclose(found.base + found.added.sum(axis=1), truth(rows))
    line = load_any(loop.promoter.tracker, loop.promoter.name, 1)
    assert not isinstance(line.model, CodeModel)


def test_it_is_watched_with_its_own_reasons(loop: Loop, version: int) -> None:
    """Profiled by the rows that judge it: columns, predictions, and what its function says."""
    versions = loop.promoter.versions
    predictor = load_predictor(versions, RegisteredVersion(NAME, version), load_any)
    root = loop.settings.storage_root
    profile_version(versions, predictor, storage_root=root, timeout_seconds=1.0)
    profile = known_profile(versions, predictor.version)
    assert not isinstance(profile, str)
    assert profile.shap is not None
    assert {"carrier", "weight"} <= {*profile.columns}
    found = shap_of_window(predictor.model, loop.training_set.test_inputs.head(9), random_state=0)
    assert found is not None
    assert list(found) == list(predictor.columns)


def test_what_loads_models_elsewhere_refuses_it(loop: Loop, version: int) -> None:
    """Neither the loader of skops nor MLflow's own runs a line of it."""
    import mlflow

    with pytest.raises(InvalidInputError, match="is code of its own"):
        load_registered(loop.promoter.tracker, loop.promoter.name, version)
    mlflow.set_tracking_uri(loop.promoter.tracker.tracking_uri)
    with pytest.raises(MlflowException, match="python_function"):
        mlflow.pyfunc.load_model(f"models:/{loop.promoter.name}/{version}")


@pytest.fixture(scope="module")
def answering(loop: Loop, version: int) -> ServedVersion:
    """The version as a server loads it from the registry."""
    registry = MlflowRegistry(
        loop.promoter.tracker.tracking_uri,
        loop.promoter.name,
        loop.folder / "serving",
        machine_code=False,
        dataset=loop.dataset,
    )
    return registry.load(version, threading.Event())


@pytest.fixture
def kept(loop: Loop, answering: ServedVersion, tmp_path: Path) -> Path:
    """Its files on the disk of the server, to be changed."""
    (files,) = (loop.folder / "serving").glob(f"*/{answering.version}-*")
    return Path(shutil.copytree(files, tmp_path / "kept"))


def start(loop: Loop, files: Path, name: str = "") -> ServedVersion:
    """Start a version as a server does, from the files that it has."""
    sealed = (files / "admission.txt").read_text()
    return start_served(9, "Version 9", files, name or loop.promoter.name, sealed, loop.dataset, "")


def test_a_server_answers_by_the_runner(loop: Loop, answering: ServedVersion) -> None:
    """With reasons; what the code refuses is the version's failure, and no crash."""
    rows = loop.training_set.test_inputs.head(3)
    cells = from_frame(loop.dataset, rows, answering.columns)
    np.testing.assert_allclose(answering.predict(cells), truth(rows))
    found = answering.explain(cells)
    np.testing.assert_allclose(found.base + found.added.sum(axis=1), truth(rows))
    assert not answering.compiled
    cells[0, loop.dataset.columns.places["weight"]] = 1_000.0
    with pytest.raises(RequestRefusedError, match="nobody carries that") as error:
        answering.predict(cells)
    assert error.value.status == 503


def test_what_was_changed_on_the_disk_is_not_run(loop: Loop, kept: Path) -> None:
    """Neither a file of a server's copy, nor an admission of another model."""
    assert "2.0" not in (kept / "admission.txt").read_text()
    with pytest.raises(StoredObjectError, match="other code"):
        start(loop, kept, "another_model")
    (kept / "files" / "score.py").write_text(SCRIPT.replace("2.0 *", "9.0 *"))
    with pytest.raises(StoredObjectError, match="not what was admitted"):
        stored_code(kept, "Version 9").read("score.py")
    described = kept / "description.json"
    described.write_text(described.read_text().replace('"Rules of delivery"', '"Others"'))
    with pytest.raises(StoredObjectError, match="other code"):
        start(loop, kept)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("MODEL_LOOP_CODE", "false", "MODEL_LOOP_CODE does not allow"),
        ("MODEL_LOOP_RUNNER_ADDRESS", "", "names no runner"),
        ("MODEL_LOOP_RUNNER_ADDRESS", "http://127.0.0.1:9", "does not answer"),
        ("MODEL_LOOP_CODE_KEYS", OTHER_KEY, "cannot be opened by any key"),
    ],
)
def test_a_server_says_why_it_does_not_start_it(
    loop: Loop,
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    value: str,
    said: str,
) -> None:
    """The reason is an error of the version alone, which names the setting."""
    monkeypatch.setenv(setting, value)
    get_settings.cache_clear()
    try:
        with pytest.raises(ModelLoopError, match=said):
            start(loop, kept)
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()


def test_an_environment_that_is_missing_is_named(loop: Loop, tmp_path: Path) -> None:
    """A runner starts no version without a built environment."""
    code = lay(tmp_path / "lacking", f'requirements = ["certifi==2026.1.1"]\n{MANIFEST}')
    found = read_folder(code, loop.dataset)
    example = loop.training_set.test_inputs.head(2)
    with pytest.raises((CodeFailedError, InvalidInputError), match="environment"):
        try_code(found, loop.dataset, example, VALUES, loop.settings)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"days": float("nan")}', "days"),
        ('{"day": 1.0}', "'day'"),
        ("None", "score"),
        ('{"days": float(next(COUNT))}', "for this row alone, and .* among"),
    ],
)
def test_code_whose_answers_break_the_schema_does_not_come_in(
    loop: Loop, tmp_path: Path, answer: str, said: str
) -> None:
    """The trial on rows of the dataset says so before anything is registered."""
    script = (
        "import itertools\n\nCOUNT = itertools.count()\n\n\n"
        f"def score(data, base_path):\n    return {answer}\n\n\nexplain = score\n"
    )
    manifest = MANIFEST.replace('explain_function = "explain"\n', "")
    before = len(loop.promoter.versions.tracker.client.search_model_versions(f"name='{NAME}'"))
    with pytest.raises(CodeFailedError, match=said):
        admit(loop, lay(tmp_path / "wrong", manifest, script))
    after = len(loop.promoter.versions.tracker.client.search_model_versions(f"name='{NAME}'"))
    assert before == after


def test_code_without_a_function_for_reasons_says_so(loop: Loop, tmp_path: Path) -> None:
    """The refusal of a request for reasons names why."""
    manifest = MANIFEST.replace('explain_function = "explain"\n', "")
    plain = admit(loop, lay(loop.folder / "plain", manifest))
    address = f"models:/{NAME}/{plain}"
    files = download_model(loop.promoter.tracker.tracking_uri, address, tmp_path)
    run_id = loop.promoter.versions.find(plain).run_id or ""
    admission = read_artifact(loop.promoter.tracker.client, run_id, ADMISSION) or b""
    (files / "admission.txt").write_bytes(admission)
    loaded = start(loop, files)
    with pytest.raises(InvalidInputError, match="code of its own, without a function"):
        _ = loaded.explain
    registered = RegisteredVersion(NAME, plain)
    predictor = load_predictor(loop.promoter.versions, registered, load_any)
    with pytest.raises(InvalidInputError, match="code of its own, without a function"):
        explainer_for(predictor)


def test_it_is_moved_as_any_other(loop: Loop, version: int) -> None:
    """Canary, shadow, champion, rollback, retired; admissions move nothing."""
    promoter = loop.promoter
    promoter.act(Action("canary", NAME, version, share=0.5), "canary")
    assert promoter.standing().challenger == version
    promoter.act(Action("end_canary", NAME), "ended")
    promoter.act(Action("shadow", NAME, version), "shadow")
    promoter.act(Action("end_shadow", NAME), "shadow ended")
    promoter.act(Action("promote", NAME, version), "promoted")
    assert promoter.standing().champion == version
    promoter.act(Action("rollback", NAME), "back")
    assert promoter.standing().champion == 1


def test_values_are_changed_and_keys_are_rotated(loop: Loop) -> None:
    """A new start has the new values; what the old key has sealed is sealed by the new one."""
    code = loop.folder / "changing"
    shutil.copytree(loop.folder / "rules", code)
    (code / "note.txt").write_text("another digest")
    number = admit(loop, code)
    versions, keys = loop.promoter.versions, loop.settings.code_keys
    with pytest.raises(InvalidInputError, match="lack DAYS_AT_LEAST"):
        change_values(versions, number, "", keys, "Ada")
    with pytest.raises(InvalidInputError, match="is not code"):
        change_values(versions, 1, "", keys, "Ada")
    change_values(versions, number, "DAYS_AT_LEAST=3.0", keys, "Ada")
    fresh = new_key()
    rotated = rotate_keys(versions.tracker.client, [versions.name], f"{fresh},{keys}")
    assert (versions.name, number) in rotated
    run_id = versions.find(number).run_id or ""
    path = versions.tracker.client.download_artifacts(run_id, ADMISSION, str(loop.folder))
    digest = versions.find(number).tags["code"]
    admission = Seal(fresh).open(Path(path).read_text(), digest, versions.name)
    assert dict(admission.values) == {"DAYS_AT_LEAST": "3.0"}
    rotate_keys(versions.tracker.client, [versions.name], f"{keys},{fresh}")
    rows = loop.training_set.test_inputs.head(2)
    loaded = load_any(versions.tracker, versions.name, number)
    np.testing.assert_allclose(loaded.model.predict(rows), truth(rows) + 1)


def test_a_version_that_nobody_has_admitted_is_refused(loop: Loop, version: int) -> None:
    """A version can be copied in the registry, and its admission cannot."""
    client, versions = loop.promoter.tracker.client, loop.promoter.versions
    run = client.create_run(loop.promoter.tracker.experiment_id)
    source = client.get_model_version_download_uri(versions.name, str(version))
    forged = client.create_model_version(
        versions.name, source, run.info.run_id, tags={**versions.find(version).tags}
    )
    with pytest.raises(StoredObjectError, match="cannot be opened"):
        load_any(versions.tracker, versions.name, int(forged.version))


def test_code_that_changed_is_another_package(loop: Loop) -> None:
    """Its description has another digest, which no admission names."""
    found = read_folder(loop.folder / "rules", loop.dataset)
    other = dataclasses.replace(found.description, title="Other")
    assert other.digest != found.description.digest
    assert other.package.digest == found.package.digest


def test_environments_of_versions_are_kept_by_the_maintenance(loop: Loop, version: int) -> None:
    """Others go once they are old."""
    name = loop.promoter.name
    used = environments_in_use(loop.promoter.tracker.client, [name])
    found = read_folder(loop.folder / "rules", loop.dataset)
    assert (version > 1, used) == (True, {found.package.environment_digest})
    kept = environment_path(loop.settings.environments_folder, found.package.environment_digest)
    other = loop.settings.environments_folder / ("0" * 64)
    other.mkdir()
    for path in (kept, other):
        os.utime(path, (0, 0))
    looked = maintenance.remove_leftovers({"only_look": True, "days": 7})
    assert other.exists()
    done = maintenance.remove_leftovers({"only_look": False, "days": 7})
    assert looked["environments"] == done["environments"] == 1
    assert kept.exists()
    assert not other.exists()


def test_a_file_is_answered_by_a_function_of_its_own(loop: Loop, tmp_path: Path) -> None:
    """For the runner it is the same code with another function."""
    more = "\n\ndef whole(data_path: str, model_path: str):\n    return data_path\n"
    manifest = MANIFEST.replace("title", 'file_function = "whole"\ntitle')
    found = read_folder(lay(tmp_path / "files", manifest, SCRIPT + more), loop.dataset)
    package = found.description.answering_files
    assert package is not None
    (tmp_path / "rows.csv").write_text("a,b\n")
    client = client_of(loop.settings.runner_address, loop.settings.runner_token)
    digest = client.deploy(package, found.read, VALUES)
    client.predict_file(digest, tmp_path / "rows.csv", tmp_path / "out", 5.0)
    assert (tmp_path / "out").read_text() == "a,b\n"
