"""Requests to a compiling process, and its answers."""

from __future__ import annotations

from typing import BinaryIO

import msgspec

from model_loop.datasets.learned import LearnedValues
from model_loop.intervals.calibrated import Intervals
from model_loop.models.classification.decision import Decision
from model_loop.serving.compiled.model import CompiledModel


class Order(msgspec.Struct):
    """Request to a compiling process.

    Parameters
    ----------
    tracking_uri, name, folder
        See `ModelStore`.
    version
        Version of the registered model.
    needed
        Versions whose files are kept, however old they are.
    machine_code
        See `CompiledModel.verify`.
    """

    tracking_uri: str
    name: str
    folder: str
    version: int
    needed: tuple[int, ...]
    machine_code: bool


class CompilerResult(msgspec.Struct):
    """Answer of a compiling process; a compiled form follows it.

    Parameters
    ----------
    columns
        Raw columns that the version reads.
    plain
        Reason why it has no compiled form; empty if it has one.
    files
        Folder of its files.
    refused
        Input, rule and remedy of the error, where it cannot be served.
    learned
        Values that the version has learned from; None where it has not stored them.
    other_line
        The same error where only its compiled form can be served: a library was upgraded.
    declaration
        The stored declaration that it was trained on; empty if it has none.
    intervals
        Intervals around its predictions; None where they were not stored.
    decision
        Threshold and sets of classes of a classifier; None where they were not stored.
    admission
        Of a version that is code of its own, its sealed admission; None of any other.
    """

    columns: tuple[str, ...] = ()
    plain: str = ""
    files: str = ""
    refused: tuple[str, str, str] | None = None
    learned: LearnedValues | None = None
    other_line: tuple[str, str, str] | None = None
    declaration: str = ""
    intervals: Intervals | None = None
    decision: Decision | None = None
    admission: str | None = None


def write_outcome(file: BinaryIO, outcome: CompilerResult, form: CompiledModel | None) -> None:
    """Write an outcome as a line of JSON, and its form behind it."""
    file.write(msgspec.json.encode(outcome) + b"\n")
    if form is not None:
        form.write(file)
