"""Training sets whose target is a class: parcels that come late, and kinds of letters."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from tests.parcels import build_parcels, declared, write_parcels

from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.datasets.stored import text_of_declaration
from model_loop.partitions.completing import complete_files
from model_loop.partitions.source import find_files, resolved_source
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import split_of
from model_loop.training_set.types import TrainingSet

#: Parcels of which those are late that take long. In the order of the alphabet, late comes last.
LATE = (
    'kind = "binary"\npositive_class = "late"\nnegative_class = "in time"\n'
    'positive_when = "days > 5"\n'
)
_LETTERS = """
name = "letters"
source = "letters.csv"
target = "kind"
[task]
kind = "multiclass"
[columns.id]
type = "ignored"
"""


def build_late(folder: Path, rows: int = 3_000, task: str = LATE) -> TrainingSet:
    """Build a training set of parcels with the question whether they are late."""
    source = write_parcels(folder / "late.csv", rows)
    changes = {'unit = "d"\n': task}
    return build_parcels(folder, declared(source, "late_parcels", **changes))


def build_letters(folder: Path, rows: int = 2_000) -> TrainingSet:
    """Build a training set of letters of three kinds, which are told apart by two measures."""
    random = np.random.default_rng(0)
    kinds = np.array(["bill", "card", "note"])[random.choice(3, rows, p=[0.5, 0.3, 0.2])]
    centre = pd.Series({"bill": 0.0, "card": 1.5, "note": 3.0})[kinds].to_numpy()
    table = pd.DataFrame(
        {
            "id": np.arange(rows),
            "width": (centre + random.normal(0, 1, rows)).round(3),
            "weight": (centre**2 + random.normal(0, 2, rows)).round(3),
            "kind": kinds,
        }
    )
    table.to_csv(folder / "letters.csv", index=False)
    declaration = resolved_source(parse_declaration(_LETTERS, "letters.toml"), folder)
    completed = complete_files(declaration, find_files(declaration, "letters"), "letters")
    dataset = use_dataset(dataset_of(completed))
    request = TableRequest(
        text_of_declaration(completed), dataset.name, dataset.default_recipe, split_of(dataset)
    )
    with tempfile.TemporaryDirectory() as storage:
        return build_training_set(request, storage_root=storage, timeout_seconds=60)
