"""The commands ``model-loop code``: models that are code of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cyclopts import App

from model_loop.cli.console import console
from model_loop.cli.options import AsJson
from model_loop.datasets.registry import choose_variant

code = App(name="code", help="Models that are code of one's own.")


@code.command
def check(folder: Path, /, *, dataset: str | None = None, as_json: AsJson = False) -> None:
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
def key() -> None:
    """Print a fresh key for the setting MODEL_LOOP_CODE_KEYS."""
    from model_loop.coded.sealing import new_key

    print(new_key())  # noqa: T201 - the command's answer


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
