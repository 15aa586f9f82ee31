"""The whole way of one dataset on the local stack: `make demo DATASET=…`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from model_loop.datasets.declaration_file import read_declaration
from model_loop.datasets.registration import add_dataset
from model_loop.datasets.registry import dataset_names, get_dataset
from model_loop.errors import InvalidInputError
from model_loop.local.stack import LocalStack
from model_loop.local.start import ensure_up

#: Families where none are named, of a number and of a class: the quickest ones of each kind.
_FAMILIES = ("linear_model.Lasso", "xgboost")
_CLASSIFIERS = ("linear_model.LogisticRegression", "xgboost")


def run_dataset(
    stack: LocalStack,
    given: str,
    *,
    families: Sequence[str] | None,
    evaluations: int,
    console: Console,
) -> int:
    """Start the stack, and prepare, train, judge and promote models of a dataset in it.

    Parameters
    ----------
    given
        Name of a dataset, or its TOML file, which is added to the datasets first.
    families
        Model families; a linear one and XGBoost by default.
    evaluations
        Trials of each family.

    Returns
    -------
    int
        Exit code of `model-loop run`.

    Raises
    ------
    InvalidInputError
        If there is no such dataset.
    """
    name = _known(given, stack)
    ensure_up(stack, console)
    usual = _CLASSIFIERS if get_dataset(name).target.is_classified else _FAMILIES
    command = [
        str(Path(sys.executable).with_name("model-loop")),
        *("run", name, "--evaluations", str(evaluations)),
        *(word for family in families or usual for word in ("--models", family)),
    ]
    return subprocess.run(command, env=stack.environment(), check=False).returncode  # noqa: S603 - our own command


def _known(given: str, stack: LocalStack) -> str:
    path = Path(given)
    if path.suffix != ".toml":
        if given not in dataset_names():
            raise InvalidInputError(
                f"DATASET={given}",
                "is not a dataset",
                f"Choose one of {', '.join(dataset_names())}, or give the path of a TOML file.",
            )
        return given
    name = read_declaration(path).name
    if name not in dataset_names():
        add_dataset(path, stack.settings.storage_root)
    return name
