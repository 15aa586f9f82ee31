"""A table that no part of the loop knows: parcels, and how long their delivery takes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from model_loop.datasets.declaration import Declaration
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset
from model_loop.datasets.stored import text_of_declaration
from model_loop.partitions.completing import complete_files
from model_loop.partitions.source import find_files, resolved_source
from model_loop.training_set.preparation import build_training_set
from model_loop.training_set.request import TableRequest
from model_loop.training_set.split import SHARES, split_of
from model_loop.training_set.types import TrainingSet

TOML = """
name = "{name}"
title = "Parcels"
source = "{source}"
target = "days"
moments = ["sent", "arrived"]
[time]
column = "sent_at"
[task]
unit = "d"
[columns.days]
title = "delivery time"
[columns.carrier]
type = "category"
[columns.weight]
type = "number"
unit = "kg"
[columns.express]
type = "yes_no"
[columns.scans]
type = "number"
known = "arrived"
[[accepted]]
code = "constant"
reason = "only one depot so far"
[recipes.sent]
at = "sent"
"""


def write_parcels(path: Path, rows: int = 900, seed: int = 0) -> Path:
    """Write parcels whose delivery depends on the carrier, the weight and the weekday."""
    random = np.random.default_rng(seed)
    sent = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(random.uniform(0, 120, rows)), "D")
    carrier, weight = random.choice(["ant", "bee", "cat"], rows), random.exponential(5, rows)
    express = random.random(rows) < 0.3
    days = (
        2.0
        + 2.0 * (carrier == "cat")
        + 0.2 * weight
        - 1.0 * express
        + 1.5 * (np.asarray(sent.weekday) > 4)
        + random.normal(0, 0.5, rows)
    )
    frame = pd.DataFrame(
        {
            "sent_at": sent.floor("s"),
            "carrier": carrier,
            "weight": weight.round(2),
            "express": np.where(express, "yes", "no"),
            "scans": (days * 3).round(),
            "days": days.round(3),
        }
    )
    frame.to_csv(path, index=False)
    return path


def declared(source: Path, name: str = "parcels", **changes: str) -> Declaration:
    """Return the declaration of such a file; changes replace text of it."""
    text = TOML.format(name=name, source=source)
    for old, new in changes.items():
        text = text.replace(old, new)
    return parse_declaration(text, "parcels.toml")


def build_parcels(
    folder: Path,
    declaration: Declaration | None = None,
    shares: tuple[float, ...] = SHARES,
    storage_root: str = "",
) -> TrainingSet:
    """Build a training set of parcels, and let this process know the dataset."""
    given = declaration or declared(write_parcels(folder / "parcels.csv"))
    given = resolved_source(given, folder)
    completed = complete_files(given, find_files(given, given.name), given.name)
    dataset = use_dataset(dataset_of(completed))
    request = TableRequest(
        text_of_declaration(completed), dataset.name, "sent", split_of(dataset, shares)
    )
    with tempfile.TemporaryDirectory() as storage:
        return build_training_set(request, storage_root=storage_root or storage)
