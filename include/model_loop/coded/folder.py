"""Folders with code: listed, digested, and described by their manifest or by MLflow's own files.

Nothing of the code is imported or run here.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.models import Model
from mlflow.types.schema import ColSpec, DataType, Schema

from model_loop.coded.description import CodeDescription, inputs_of
from model_loop.coded.manifest import MANIFEST, Manifest, ManifestColumn, parse_manifest
from model_loop.datasets.dataset import Dataset
from model_loop.errors import InvalidInputError
from model_loop.runner.package import (
    MOST_BYTES,
    MOST_FILES,
    CodeColumn,
    CodePackage,
    ColumnType,
)

#: MLflow's description of a model, and its lists beside it.
MLMODEL, _REQUIREMENTS, _PYTHON_ENV = "MLmodel", "requirements.txt", "python_env.yaml"
#: The only loader of MLflow's that reads a script and no pickle.
_CODE_LOADER = "mlflow.pyfunc.loaders.code_model"
#: Folders that tools leave behind; names that begin with a dot are left out as well.
_LEFT_OUT = {"__pycache__"}
_TYPES: Mapping[object, ColumnType] = {
    DataType.double: "number",
    DataType.float: "number",
    DataType.long: "number",
    DataType.integer: "number",
    DataType.string: "text",
    DataType.boolean: "yes/no",
    DataType.datetime: "time",
}


@dataclass(frozen=True)
class CodeFolder:
    """A folder with code.

    Parameters
    ----------
    path
        The folder.
    description
        What its manifest says.
    sizes
        Bytes of each file, by its path in the folder.
    left_out
        Files that are none of the package: hidden ones, and those that Python has made.
    """

    path: Path
    description: CodeDescription
    sizes: Mapping[str, int]
    left_out: tuple[str, ...] = ()

    @property
    def package(self) -> CodePackage:
        """The code that the runner runs."""
        return self.description.package

    def fixed(self, locked: Sequence[str]) -> CodeFolder:
        """Return the same with the packages of its environment fixed to versions and digests."""
        package = dataclasses.replace(self.package, locked=tuple(locked))
        return dataclasses.replace(
            self, description=dataclasses.replace(self.description, package=package)
        )

    def read(self, name: str) -> bytes:
        """Return the content of a file, which is still what was digested.

        Raises
        ------
        InvalidInputError
            If it has changed since.
        """
        content = (self.path / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != self.package.files[name]:
            raise InvalidInputError(
                f"The file {name}", "has changed since it was read", "Begin again."
            )
        return content


def read_folder(path: Path, dataset: Dataset | None = None) -> CodeFolder:
    """Read a folder with code.

    Parameters
    ----------
    dataset
        Dataset that it is to answer for; None if it answers for none.

    Raises
    ------
    InvalidInputError
        If there is no manifest, a rule of it is broken, a file is a link, or the answer does not
        fit the dataset.
    """
    if not path.is_dir():
        raise InvalidInputError(f"The folder {path}", "is not there", "Check the path.")
    files, left_out = _files(path)
    manifest = _manifest(path, files)
    described = _of_script if manifest.form == "script" else _of_mlflow
    description = described(path, manifest, files, dataset)
    folder = CodeFolder(
        path,
        description,
        {name: (path / name).stat().st_size for name in files},
        left_out,
    )
    if dataset is not None:
        description.columns(dataset)
        description.require_answer(dataset)
    return folder


def _files(path: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the digest of each file by its path, and the paths of those that are left out."""
    found: dict[str, str] = {}
    left_out = []
    total = 0
    for file in sorted(_walk(path)):
        name = file.relative_to(path).as_posix()
        parts = name.split("/")
        if file.suffix == ".pyc" or any(it in _LEFT_OUT or it.startswith(".") for it in parts):
            left_out.append(name)
            continue
        mode = file.lstat()
        if not stat.S_ISREG(mode.st_mode):
            raise InvalidInputError(
                f"The file {name}",
                "is a link or no regular file",
                "Put the file itself into the folder.",
            )
        total += mode.st_size
        if total > MOST_BYTES or len(found) >= MOST_FILES:
            raise InvalidInputError(
                f"The folder {path}",
                f"has more than {MOST_FILES:,} files or {MOST_BYTES:,} bytes",
                "Leave out what the code does not read.",
            )
        with file.open("rb") as content:
            found[name] = hashlib.file_digest(content, "sha256").hexdigest()
    return found, tuple(left_out)


def _walk(path: Path) -> Iterator[Path]:
    for each in path.iterdir():
        if each.is_dir() and not each.is_symlink():
            yield from _walk(each)
        else:
            yield each


def _manifest(path: Path, files: Mapping[str, str]) -> Manifest:
    if MANIFEST in files:
        return parse_manifest((path / MANIFEST).read_text("utf-8"), str(path / MANIFEST))
    if MLMODEL in files:
        return Manifest(form="mlflow")
    raise InvalidInputError(
        f"The folder {path}",
        f"has no {MANIFEST}, and is not a folder of a model that MLflow has logged",
        f"Write {MANIFEST}: docs/how-to/own-code.md has an example.",
    )


def _of_script(
    path: Path, manifest: Manifest, files: Mapping[str, str], dataset: Dataset | None
) -> CodeDescription:
    if manifest.script not in files:
        raise InvalidInputError(
            f"script = {manifest.script!r}", "is not a file of the folder", "Name the file."
        )
    inputs = _columns(manifest.inputs) or (inputs_of(dataset) if dataset is not None else ())
    if not inputs:
        raise InvalidInputError(
            f"{path / MANIFEST}",
            "has no [inputs], and answers for no dataset whose columns they could be",
            "Name the values of a row, or the dataset.",
        )
    _require_functions(path / manifest.script, manifest)
    package = CodePackage(
        form="script",
        entry=manifest.script,
        function=manifest.function,
        python=manifest.python or _this_python(),
        requirements=_requirements(path, manifest.requirements, files),
        inputs=inputs,
        outputs=_columns(manifest.outputs),
        files=files,
        variables=manifest.variables,
    )
    return CodeDescription(
        package,
        manifest.title,
        *_answer(manifest, package.outputs),
        explain=manifest.explain_function or "",
        file_function=manifest.file_function or "",
    )


def _of_mlflow(
    path: Path, manifest: Manifest, files: Mapping[str, str], dataset: Dataset | None
) -> CodeDescription:
    what = f"The model in {path}"
    try:
        described = Model.load(str(path / MLMODEL))
    except Exception as error:
        # MLflow raises whatever its parser does.
        raise InvalidInputError(
            what, f"has an {MLMODEL} that cannot be read ({error!r:.200})", "Log it anew."
        ) from error
    flavor = described.flavors.get("python_function", {})
    if flavor.get("loader_module") != _CODE_LOADER or "python_model" in flavor:
        raise InvalidInputError(
            what,
            f"is not a model from code (its loader is {flavor.get('loader_module')!r})",
            "Log it from its script: python_model='model.py', with mlflow.models.set_model in it. "
            "Pickles are never loaded.",
        )
    signature = described.signature
    inputs, outputs = _columns(manifest.inputs), _columns(manifest.outputs)
    if signature is not None and signature.inputs is not None:
        inputs = inputs or _of_schema(signature.inputs, what)
    if signature is not None and signature.outputs is not None:
        outputs = outputs or _of_schema(signature.outputs, what, unnamed="prediction")
    if not inputs and dataset is not None:
        inputs = inputs_of(dataset)
    if not inputs or not outputs:
        raise InvalidInputError(
            what,
            "has no signature, so that the values of rows and answers are unknown",
            "Log it with a signature, or name [inputs] and [outputs] in model.toml.",
        )
    listed = manifest.requirements or (_REQUIREMENTS if _REQUIREMENTS in files else ())
    package = CodePackage(
        form="mlflow",
        entry=MLMODEL,
        function="",
        python=manifest.python or _python_of(path) or _this_python(),
        requirements=_requirements(path, listed, files),
        inputs=inputs,
        outputs=outputs,
        files=files,
        variables=manifest.variables,
    )
    return CodeDescription(package, manifest.title, *_answer(manifest, outputs))


def _answer(
    manifest: Manifest, outputs: tuple[CodeColumn, ...]
) -> tuple[str, str, Mapping[str, str]]:
    """Return the outputs that answer; the only one that there is, where none is named."""
    answer = manifest.answer
    if not (answer.prediction or answer.probability or answer.probabilities) and len(outputs) == 1:
        return outputs[0].name, outputs[0].name, {}
    return answer.prediction or "", answer.probability or "", dict(answer.probabilities)


def _columns(given: Mapping[str, ManifestColumn]) -> tuple[CodeColumn, ...]:
    return tuple(CodeColumn(name, it.type, it.may_be_missing) for name, it in given.items())


def _of_schema(schema: Schema, what: str, *, unnamed: str = "") -> tuple[CodeColumn, ...]:
    found = []
    for each in schema.inputs:
        kind = _TYPES.get(each.type) if isinstance(each, ColSpec) else None
        tensor = not isinstance(each, ColSpec) and unnamed
        name = each.name or (unnamed if len(schema.inputs) == 1 else "")
        if not name or (kind is None and not tensor):
            raise InvalidInputError(
                what,
                f"has {each!s} in its signature, which is not a named number, text, yes/no or time",
                "Name [inputs] and [outputs] in model.toml.",
            )
        found.append(CodeColumn(name, kind or "number", not each.required))
    return tuple(found)


def _requirements(
    path: Path, given: tuple[str, ...] | str, files: Mapping[str, str]
) -> tuple[str, ...]:
    if not isinstance(given, str):
        return given
    if given not in files:
        raise InvalidInputError(
            f"requirements = {given!r}",
            "is not a file of the folder",
            "Name the file, or list them.",
        )
    lines = (line.partition(" #")[0].strip() for line in (path / given).read_text().splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def _require_functions(script: Path, manifest: Manifest) -> None:
    """Refuse a script that does not parse, or lacks a function that the manifest names."""
    try:
        tree = ast.parse(script.read_bytes(), script.name)
    except (SyntaxError, ValueError) as error:
        raise InvalidInputError(
            f"The script {script.name}", f"is not Python ({error})", "Correct it."
        ) from error
    there = {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
    named = (
        manifest.function,
        manifest.file_function,
        manifest.explain_function,
    )
    if missing := [name for name in named if name is not None and name not in there]:
        raise InvalidInputError(
            f"The script {script.name}",
            f"has no function {missing[0]}",
            f"It has: {', '.join(sorted(there)) or 'none'}.",
        )


def _python_of(path: Path) -> str:
    """Return the version of Python that MLflow has noted; empty if it has not."""
    file = path / _PYTHON_ENV
    for line in file.read_text().splitlines() if file.is_file() else ():
        key, _, version = line.partition(":")
        if key.strip() == "python":
            return ".".join(version.strip().strip("'\"").split(".")[:2])
    return ""


def _this_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
