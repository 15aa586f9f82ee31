"""Additions of a dataset in Python to the pages: charts of its own, and a picture to ask by."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from model_loop.dashboard.page import ChartGroup, PageField
from model_loop.datasets.registry import datasets_in_python


@dataclass(frozen=True)
class PartitionCharts:
    """Charts of a partition, in place of the general ones of its rows.

    Parameters
    ----------
    sections
        The charts.
    choices
        Fields by which they are asked for something else.
    notes
        What cannot be shown, and why.
    broken_when
        When a row breaks a rule of the contract, by the name of the rule.
    """

    sections: Sequence[ChartGroup]
    choices: Sequence[PageField] = ()
    notes: Sequence[str] = ()
    broken_when: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Panel:
    """A panel beside the form of the playground.

    Parameters
    ----------
    html
        Content, as markup that is safe.
    script
        Name of a script in the folder ``static`` of the dataset's package.
    values
        Values that the form begins with, by field.
    notes
        What cannot be shown, and why.
    """

    html: Markup
    script: str
    values: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


@functools.cache
def static_folders() -> tuple[Path, ...]:
    """Return the folders of scripts of all datasets in Python."""
    modules = (one.extensions.pages.partition(":")[0] for one in datasets_in_python())
    files = (importlib.import_module(module).__file__ for module in modules if module)
    return tuple(Path(file).parent / "static" for file in files if file)
