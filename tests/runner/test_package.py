"""A code package: its rules, and its digest."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from model_loop.errors import InvalidInputError
from model_loop.objects.tree import from_tree, to_tree
from model_loop.runner.package import CodeColumn, CodePackage

DIGEST = "0" * 64
PACKAGE = CodePackage(
    form="script",
    entry="code/score.py",
    function="score",
    python="3.11",
    requirements=("numpy==2.3.0", "polars[async]>=1 ; python_version > '3.8'", "lightgbm>=4, <5"),
    inputs=(CodeColumn("length", "number"),),
    outputs=(CodeColumn("pred", "number"), CodeColumn("note", "text", may_be_missing=True)),
    files={"code/score.py": DIGEST, "weights.json": "1" * 64},
    variables=("API_LEVEL",),
)


def test_it_is_stored_and_read() -> None:
    """Its digest is the same afterwards."""
    read = from_tree(to_tree(PACKAGE)[0], {})
    assert read == PACKAGE
    assert read.digest == PACKAGE.digest


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"code/score.py": "2" * 64, "weights.json": "1" * 64}},
        {"function": "other"},
        {"requirements": ()},
        {"python": "3.12"},
        {"inputs": ()},
        {"outputs": (CodeColumn("pred", "text"),)},
        {"variables": ()},
    ],
)
def test_whatever_changes_has_another_digest(change: dict[str, Any]) -> None:
    """Approval and lineage go by it."""
    assert dataclasses.replace(PACKAGE, **change).digest != PACKAGE.digest


def test_the_order_of_files_and_requirements_does_not_matter() -> None:
    """Of files for the digest, of requirements for the environment's."""
    turned = dict(reversed(list(PACKAGE.files.items())))
    assert dataclasses.replace(PACKAGE, files=turned).digest == PACKAGE.digest
    others = dataclasses.replace(PACKAGE, requirements=PACKAGE.requirements[::-1])
    assert others.environment_digest == PACKAGE.environment_digest
    assert (
        dataclasses.replace(PACKAGE, function="f").environment_digest == others.environment_digest
    )


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "a//b", "./a", "", "a\\b", "a\nb", "a/", "d/" * 21]
)
def test_paths_stay_inside(path: str) -> None:
    """Nothing is written elsewhere."""
    with pytest.raises(InvalidInputError, match="not a plain path"):
        dataclasses.replace(PACKAGE, files={**PACKAGE.files, path: DIGEST})


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "--index-url=https://x",
        "-r other.txt",
        "numpy @ https://example.com/numpy.whl",
        "https://example.com/numpy.whl",
        "./wheel.whl",
        "/srv/numpy",
        "git+https://example.com/x",
        "numpy==1 --no-binary :all:",
        "numpy\n-e .",
        "numpy==1 # note",
        "numpy==1 --pre",
        "",
    ],
)
def test_requirements_are_packages_alone(line: str) -> None:
    """No option, address or path reaches the installer."""
    with pytest.raises(InvalidInputError, match="not a package with its version"):
        dataclasses.replace(PACKAGE, requirements=(line,))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"form": "pickle"}, "unknown"),
        ({"entry": "none.py"}, "not among the files"),
        ({"function": "a b"}, "cannot be"),
        ({"form": "mlflow"}, "cannot be"),
        ({"python": "3"}, "version of Python"),
        ({"outputs": ()}, "empty"),
        ({"outputs": (CodeColumn("a", "text"), CodeColumn("a", "text"))}, "twice"),
        ({"files": {"code/score.py": "abc"}}, "SHA-256"),
        ({"files": {"code/score.py": DIGEST, "code": DIGEST}}, "folder too"),
        ({"files": {"code/score.py": DIGEST, **{f"{n}": DIGEST for n in range(2_000)}}}, "many"),
        ({"variables": ("LD_PRELOAD",)}, "cannot be set"),
        ({"variables": ("PATH",)}, "cannot be set"),
        ({"variables": ("lower",)}, "cannot be set"),
    ],
)
def test_what_breaks_a_rule_is_refused(change: dict[str, Any], said: str) -> None:
    """With the rule."""
    with pytest.raises(InvalidInputError, match=said):
        dataclasses.replace(PACKAGE, **change)


def test_columns_have_a_type() -> None:
    """Of a few."""
    with pytest.raises(InvalidInputError, match="has the type"):
        CodeColumn("a", "tensor")  # type: ignore[arg-type]
