"""The commands ``model-loop code``: models that are code of one's own."""

from __future__ import annotations

import getpass
import json
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from model_loop.cli.codes import ExitCode
from model_loop.cli.console import console
from model_loop.cli.options import AsJson, answering_uri, trained_variant
from model_loop.datasets.registry import choose_variant
from model_loop.errors import InvalidInputError
from model_loop.objects.strict_json import decode
from model_loop.settings import Settings, get_settings

if TYPE_CHECKING:
    from model_loop.coded.folder import CodeFolder
    from model_loop.models.gate import GateVerdict
    from model_loop.tracking.versions import ModelVersions

code = App(name="code", help="Models that are code of one's own: check, try, bring in, rotate.")

_settings = get_settings()
_Uri = Annotated[str, Parameter(show_default=False)]


@code.command(name="check")
def check_code(folder: Path, /, *, dataset: str | None = None, as_json: AsJson = False) -> None:
    """Say what is in a folder with code, and whether it answers for a dataset. Nothing is run.

    Parameters
    ----------
    folder
        Folder with model.toml, or as MLflow logs a model from code.
    dataset
        Dataset that it is to answer for, or key of a variant; none, if left out.
    as_json
        Print one JSON object, for machines.
    """
    from model_loop.coded.folder import read_folder
    from model_loop.coded.report import contents_of

    table = None if dataset is None else choose_variant(dataset)[0]
    found = read_folder(folder, table)
    contents = contents_of(found)
    if as_json:
        print(json.dumps({**contents, "dataset": dataset}))  # noqa: T201 - for machines
    else:
        _print(contents, None if table is None else table.name)


@code.command
def answer(
    folder: Path,
    rows: Path | None = None,
    /,
    *,
    output: Path | None = None,
    values: Path | None = None,
) -> None:
    """Start code in the runner, and answer rows by it. Nothing is registered.

    Parameters
    ----------
    folder
        Folder with model.toml, or as MLflow logs a model from code.
    rows
        File of one JSON object, or of JSON lines; standard input, if left out. With --output, a
        file as the code's own function of files reads it.
    output
        File that this function makes of it.
    values
        File of environment values, a line NAME=value each.
    """
    from model_loop.coded.folder import read_folder
    from model_loop.coded.stored import client_of, require_allowed, start_package

    settings = get_settings()
    require_allowed(settings, f"The folder {folder}")
    found = read_folder(folder)
    named = _values(values, found)
    if output is not None:
        package = found.description.answering_files
        if package is None or rows is None:
            raise InvalidInputError(
                f"--output {output}",
                "needs a file of rows, and code with a file_function",
                "Leave it out to answer rows one by one.",
            )
        _build(found, settings)
        client = client_of(settings.runner_address, settings.runner_token)
        digest = client.deploy(package, found.read, named)
        client.wait_ready(digest, settings.runner_start_seconds)
        client.predict_file(digest, rows, output, settings.runner_file_seconds)
        return
    given = _rows(sys.stdin.read() if rows is None else rows.read_text("utf-8"))
    _build(found, settings)
    ask = start_package(found.package, found.read, named, settings)
    for one in ask(given):
        print(json.dumps(one))  # noqa: T201 - the command's answer


@code.command
def add(
    folder: Path,
    /,
    *,
    dataset: str,
    values: Path | None = None,
    why: str = "",
    yes: Annotated[bool, Parameter(negative=())] = False,
    promote: Annotated[bool, Parameter(negative=())] = False,
    tracking_uri: _Uri = _settings.tracking_uri,
    as_json: AsJson = False,
) -> None:
    """Bring code in as a version of a dataset's model: build its environment, try it, register it.

    It answers nobody before it is promoted, which goes through the gate as of any other version.
    Without --yes nothing is done but what `model-loop code check` does. With --promote, ends with
    exit code 1 where the gate refuses it.

    Parameters
    ----------
    folder
        Folder with model.toml, or as MLflow logs a model from code.
    dataset
        Dataset that it answers for, or key of a variant.
    values
        File of environment values, a line NAME=value each. They are stored encrypted, and never
        shown again.
    why
        Reason for the history.
    yes
        Bring it in. It is code: it may do whatever the runner lets it do.
    promote
        Make it champion, if it passes the gate.
    tracking_uri
        Address of the MLflow server.
    as_json
        Print one JSON object, for machines.
    """
    from model_loop.coded import registration
    from model_loop.coded.folder import read_folder
    from model_loop.coded.report import contents_of
    from model_loop.coded.sealing import Seal
    from model_loop.coded.stored import require_allowed
    from model_loop.tracking.challengers import example_rows

    settings, versions = get_settings(), _versions(dataset, tracking_uri)
    require_allowed(settings, f"The folder {folder}")
    # Refused before anything is built.
    Seal(settings.code_keys)
    table = registration.dataset_for_code(versions)
    found = read_folder(folder.resolve(), table)
    if yes:
        found = registration.fix_environment(found, settings)
    contents = contents_of(found)
    if not as_json:
        _print(contents, table.name)
    if not yes:
        if as_json:
            print(json.dumps({**contents, "version": None}))  # noqa: T201 - for machines
        else:
            console().print("Nothing was brought in: --yes does it.")
        return
    named = _values(values, found)
    _build(found, settings)
    columns = found.description.columns(table)
    example = example_rows(
        versions,
        columns,
        storage_root=settings.storage_root,
        timeout_seconds=settings.request_timeout_seconds,
    )
    _, predicted = registration.try_code(found, table, example, named, settings)
    approval = registration.Approval(getpass.getuser(), why=why)
    identity = f"code add/{uuid.uuid4().hex}"
    registered = registration.register_code(
        versions, found, table, named, approval, identity=identity, keys=settings.code_keys
    )
    registration.note_admission(versions, found, table, approval, registered.version, identity)
    verdict = _promote(versions, registered.version, settings) if promote else None
    if as_json:
        told = {**contents, "model": registered.name, "version": registered.version}
        gate = None if verdict is None else verdict.passed
        print(json.dumps({**told, "predicted": predicted.tolist(), "gate": gate}))  # noqa: T201 - for machines
    else:
        console().print(
            f"It predicted {len(predicted)} rows of {table.name}, and is version "
            f"{registered.version} of {registered.name}."
        )
        if verdict is None:
            console().print(
                "Promote it by the DAG promotion. Without Airflow, repeat the command with "
                "--promote: the gate then decides about the new version at once."
            )
        else:
            console().print(verdict.markdown)
            console().print("It is champion." if verdict.passed else "It did not pass the gate.")
    if verdict is not None and not verdict.passed:
        sys.exit(ExitCode.NEGATIVE)


@code.command
def key() -> None:
    """Print a fresh key for the setting MODEL_LOOP_CODE_KEYS."""
    from model_loop.coded.sealing import new_key

    print(new_key())  # noqa: T201 - the command's answer


@code.command(name="values")
def set_values(
    dataset: str,
    version: int,
    /,
    *,
    values: Path,
    tracking_uri: _Uri = _settings.tracking_uri,
) -> None:
    """Give a version that is code other environment values.

    Servers and tasks have them when they load the version again.

    Parameters
    ----------
    dataset
        Dataset of the version, or key of a variant.
    version
        Its number.
    values
        File of environment values, a line NAME=value each: all of them, the old ones are gone.
    tracking_uri
        Address of the MLflow server.
    """
    from model_loop.coded.registration import change_values

    versions = _versions(dataset, tracking_uri)
    changed = change_values(
        versions,
        version,
        values.read_text("utf-8"),
        get_settings().code_keys,
        getpass.getuser(),
    )
    names = ", ".join(changed.values)
    told = f"has {names} from its next start on" if names else "has no variables"
    console().print(f"Version {version} of {versions.name} {told}.")


@code.command
def rotate(*, tracking_uri: _Uri = _settings.tracking_uri) -> None:
    """Encrypt what was admitted by the newest key of MODEL_LOOP_CODE_KEYS, for all versions.

    Afterwards the older keys can be taken out of the setting.

    Parameters
    ----------
    tracking_uri
        Address of the MLflow server.
    """
    from mlflow import MlflowClient

    from model_loop.coded.registration import rotate_keys as seal_anew
    from model_loop.datasets.registry import variants

    names = [variant.model_name for variant in variants().values()]
    done = seal_anew(MlflowClient(answering_uri(tracking_uri)), names, get_settings().code_keys)
    for name, version in done:
        console().print(f"{name}, version {version}")
    number = "1 version is" if len(done) == 1 else f"{len(done)} versions are"
    console().print(f"{number} sealed by the newest key.")


def _versions(dataset: str, tracking_uri: str) -> ModelVersions:
    from model_loop.tracking.experiments import tracker_of
    from model_loop.tracking.versions import ModelVersions

    tracking_uri = answering_uri(tracking_uri)
    table, variant = trained_variant(dataset, tracking_uri)
    tracker = tracker_of(table, tracking_uri, get_settings().experiment, "promotion")
    return ModelVersions(tracker, variant.key)


def _promote(versions: ModelVersions, version: int, settings: Settings) -> GateVerdict:
    """Let the gate judge a version, and make it champion where it passes."""
    from model_loop.coded.versions import load_any
    from model_loop.models.gate_rules import GateRules
    from model_loop.tracking.actions import Action
    from model_loop.tracking.challengers import judge_in_turn
    from model_loop.tracking.promotion import Promoter

    moment, identity = versions.moment(version), f"code add/{uuid.uuid4().hex}"
    promoter = Promoter(versions.tracker, versions.service, moment, versions)
    verdict, _ = judge_in_turn(
        promoter,
        [version],
        GateRules(),
        f"{identity}/gate",
        storage_root=settings.storage_root,
        timeout_seconds=settings.request_timeout_seconds,
        load=load_any,
    )
    if verdict.passed:
        action = Action(
            "promote",
            versions.service,
            version,
            who=getpass.getuser(),
            why="brought in by model-loop code add --promote",
            expected=verdict.champion,
            evidence=verdict.table(),
            remarks=verdict.remarks,
        )
        promoter.act(action, f"{identity}/promote")
    return verdict


def _values(file: Path | None, folder: CodeFolder) -> dict[str, str]:
    from model_loop.coded.sealing import parse_values

    text = "" if file is None else file.read_text("utf-8")
    return parse_values(text, folder.package.variables)


def _build(folder: CodeFolder, settings: Settings) -> None:
    from model_loop.coded.registration import build_environment

    with console(stderr=True).status("Building the environment"):
        build_environment(folder, settings)


def _rows(text: str) -> list[dict[str, Any]]:
    try:
        first = decode(text.encode())
        rows = first if isinstance(first, list) else [first]
    except ValueError:
        try:
            rows = [decode(line.encode()) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise InvalidInputError(
                "The rows", f"are not JSON ({error})", "Give an object, or one on each line."
            ) from error
    if not all(isinstance(row, dict) for row in rows):
        raise InvalidInputError("The rows", "are not objects", "Give an object for each row.")
    return rows


def _print(contents: dict[str, Any], dataset: str | None) -> None:
    out = console()
    out.print(f"{contents['title']}: {contents['form']}, Python {contents['python']}")
    out.print(f"digest {contents['digest']}")
    for one in contents["files"]:
        # A table would cut digests where the screen is narrow.
        out.print(f"{one['sha256']}  {one['bytes']:>13,}  {one['file']}")
    for name in ("functions", "requirements", "variables", "left_out"):
        out.print(f"{name.replace('_', ' ')}: {', '.join(contents[name]) or 'none'}")
    for name in ("inputs", "outputs"):
        listed = ", ".join(f"{key} ({kind})" for key, kind in contents[name].items())
        out.print(f"{name}: {listed}")
    if dataset is not None:
        out.print(f"It answers for the dataset {dataset}.")
    else:
        out.print("Whether it answers for a dataset says --dataset.")
