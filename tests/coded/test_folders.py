"""Folders with code: what their manifest may say, what is digested, and what is refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.models import infer_signature

from model_loop.coded.folder import read_folder
from model_loop.coded.manifest import parse_manifest
from model_loop.coded.registration import build_environment
from model_loop.coded.report import contents_of, in_markdown
from model_loop.datasets.registry import get_dataset
from model_loop.errors import InvalidInputError
from model_loop.settings import get_settings

SCRIPT = "def score(data, base_path):\n    return {'pred': 1.0}\n"
MANIFEST = """\
requirements = []
[inputs]
radius = "number"
seen = {type = "yes/no", may_be_missing = true}
[outputs]
pred = "number"
"""


def lay(folder: Path, manifest: str = MANIFEST, script: str = SCRIPT) -> Path:
    """Write a folder with a script and its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.toml").write_text(manifest)
    (folder / "score.py").write_text(script)
    return folder


def test_a_folder_is_described_without_running_it(tmp_path: Path) -> None:
    """Every file has its digest; what Python and editors leave behind is named, and stays out."""
    folder = lay(tmp_path, script=f"raise SystemExit\n{SCRIPT}")
    (folder / "deep" / "__pycache__").mkdir(parents=True)
    (folder / "deep" / "table.json").write_text("{}")
    (folder / "deep" / "__pycache__" / "x.pyc").write_bytes(b"")
    (folder / ".env").write_text("KEY=secret")
    found = read_folder(folder)
    assert set(found.package.files) == {"model.toml", "score.py", "deep/table.json"}
    wanted = hashlib.sha256((folder / "score.py").read_bytes()).hexdigest()
    assert found.package.files["score.py"] == wanted
    assert found.left_out == (".env", "deep/__pycache__/x.pyc")
    assert [(one.type, one.may_be_missing) for one in found.package.inputs] == [
        ("number", False),
        ("yes/no", True),
    ]
    assert found.description.prediction == "pred"
    shown = in_markdown(contents_of(found))
    assert all(digest in shown for digest in found.package.files.values())
    assert found.description.digest in shown


@pytest.mark.parametrize(
    "change",
    [
        ("requirements = []", 'requirements = ["numpy==2.3.0"]'),
        ('pred = "number"', 'pred = {type = "number", may_be_missing = true}'),
        ("requirements = []", 'requirements = []\nvariables = ["API_KEY"]'),
        ("requirements = []", 'requirements = []\ntitle = "Another"'),
    ],
)
def test_whatever_is_changed_changes_the_digest(tmp_path: Path, change: tuple[str, str]) -> None:
    """An approval is valid for one digest only."""
    before = read_folder(lay(tmp_path)).description.digest
    assert read_folder(lay(tmp_path, MANIFEST.replace(*change))).description.digest != before


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ('functoin = "score"\n' + MANIFEST, "functoin is unknown. Did you mean function?"),
        (MANIFEST + 'x = "nmber"', "Did you mean number?"),
        ("requirements = []\n[inputs]\na = 'number'", "has no \\[outputs\\]"),
        ('form = "pickle"\n' + MANIFEST, "form = 'pickle' is unknown"),
        ('script = "other.py"\n' + MANIFEST, "is not a file of the folder"),
        ('function = "predict"\n' + MANIFEST, "has no function predict. It has: score"),
        ('requirements = ["-e ."]\n' + MANIFEST[18:], "is not a package with its version"),
        ('requirements = ["https://a/b.whl"]\n' + MANIFEST[18:], "is not a package with its"),
        ('variables = ["LD_PRELOAD"]\n' + MANIFEST, "cannot be set for a code package"),
        (
            MANIFEST + '[answer]\nprediction = "proba"',
            r"toml says answer\.prediction = 'proba', which is not one of its outputs: pred",
        ),
        ("requirements = [", "is not TOML"),
    ],
)
def test_mistakes_are_named_with_what_is_meant(tmp_path: Path, manifest: str, said: str) -> None:
    """Unknown keys name the nearest that is known."""
    with pytest.raises(InvalidInputError, match=said):
        read_folder(lay(tmp_path, manifest))


def test_links_are_refused(tmp_path: Path) -> None:
    """Neither a file nor a folder of somewhere else comes in by a link."""
    folder = lay(tmp_path / "code")
    (tmp_path / "secret").mkdir()
    for target in ("/etc/passwd", str(tmp_path / "secret")):
        (folder / "link").symlink_to(target)
        with pytest.raises(InvalidInputError, match="is a link"):
            read_folder(folder)
        (folder / "link").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(InvalidInputError, match="no regular file"):
        read_folder(folder)


def test_a_file_that_changes_while_it_is_brought_in_is_refused(tmp_path: Path) -> None:
    """A file that has changed since it was digested is not read."""
    found = read_folder(lay(tmp_path))
    assert found.read("score.py") == SCRIPT.encode()
    (tmp_path / "score.py").write_text("import os")
    with pytest.raises(InvalidInputError, match="has changed"):
        found.read("score.py")


def test_a_folder_without_a_manifest_says_what_to_write(tmp_path: Path) -> None:
    """So does one that is not there."""
    with pytest.raises(InvalidInputError, match=r"has no model\.toml"):
        read_folder(tmp_path)
    with pytest.raises(InvalidInputError, match="is not there"):
        read_folder(tmp_path / "none")


def test_code_answers_for_the_columns_and_the_target_of_a_dataset(tmp_path: Path) -> None:
    """Inputs that are left out are its columns; an answer that is missing is named."""
    diabetes = get_dataset("diabetes")
    plain = MANIFEST[: MANIFEST.index("[inputs]")] + '[outputs]\npred = "number"\n'
    found = read_folder(lay(tmp_path, plain), diabetes)
    assert [one.name for one in found.package.inputs] == list(diabetes.columns.fields)
    two = plain + 'proba = "number"\n'
    with pytest.raises(InvalidInputError, match="is not a number among the outputs"):
        read_folder(lay(tmp_path, two), diabetes)
    named = two + '[answer]\nprobability = "proba"\n'
    assert read_folder(lay(tmp_path, named), diabetes).description.probability == "proba"
    other = MANIFEST.replace("radius", "Agee")
    with pytest.raises(InvalidInputError, match="Did you mean age"):
        read_folder(lay(tmp_path, other), diabetes)
    text = MANIFEST.replace('radius = "number"', 'Age = "text"')
    with pytest.raises(InvalidInputError, match="has the type text"):
        read_folder(lay(tmp_path, text), diabetes)


def test_a_model_from_code_needs_no_manifest_and_a_pickle_is_refused(tmp_path: Path) -> None:
    """MLflow's own files say all; whatever is not read from a script does not come in."""
    script = tmp_path / "model.py"
    script.write_text(
        "import mlflow\n\n\nclass M(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        return model_input['a']\n\n\nmlflow.models.set_model(M())\n"
    )
    frame = pd.DataFrame({"a": [1.0], "b": ["x"]})
    signature = infer_signature(frame, frame["a"])
    given = {"signature": signature, "pip_requirements": ["mlflow==3.17.2"]}
    mlflow.pyfunc.save_model(str(tmp_path / "code"), python_model=str(script), **given)
    found = read_folder(tmp_path / "code")
    assert [(one.name, one.type) for one in found.package.inputs] == [
        ("a", "number"),
        ("b", "text"),
    ]
    assert (found.package.form, found.package.entry) == ("mlflow", "MLmodel")
    assert found.package.requirements == ("mlflow==3.17.2",)
    assert found.description.prediction == found.package.outputs[0].name

    class Pickled(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined, misc]  # untyped
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002
            return model_input["a"]

    mlflow.pyfunc.save_model(str(tmp_path / "pickled"), python_model=Pickled(), **given)
    with pytest.raises(InvalidInputError, match="Pickles are never loaded"):
        read_folder(tmp_path / "pickled")


def test_names_in_an_approval_cannot_pretend(tmp_path: Path) -> None:
    """A file's name can neither end its quotation nor add a cell to the table of digests."""
    folder = lay(tmp_path)
    (folder / "a` | 1 | `b").write_text("")
    shown = in_markdown(contents_of(read_folder(folder)))
    rows = [line for line in shown.splitlines() if line.startswith("| `")]
    assert {line.count("|") for line in rows} == {4}
    (folder / ".x\n\n# Reviewed by security\u202e").write_text("")
    contents = contents_of(read_folder(folder))
    assert in_markdown(contents, "code_values_rules").count("\n") == shown.count("\n")
    assert "given by the variable `code_values_rules`" in in_markdown(contents, "code_values_rules")
    assert all(name.isprintable() for name in contents["left_out"])


def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With those that are."""
    found = read_folder(lay(tmp_path, f'python = "3.99"\n{MANIFEST}'))
    with pytest.raises(InvalidInputError, match=r'python = "3.99" is not on this machine.*3\.'):
        build_environment(found, get_settings())


def test_a_manifest_for_mlflow_says_nothing_of_scripts() -> None:
    """A key that would be ignored is refused."""
    with pytest.raises(InvalidInputError, match="which only a script has"):
        parse_manifest('form = "mlflow"\nfunction = "score"')
