"""The command ``model-loop erase``: the rows of one identity, found and taken out."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich import box
from rich.table import Table

from model_loop.cli.console import console
from model_loop.cli.options import AsJson
from model_loop.errors import InvalidInputError
from model_loop.settings import get_settings

if TYPE_CHECKING:
    from model_loop.erasure.erase import ErasureReport

_Several = Parameter(consume_multiple=True, negative=())


def erase(
    *,
    dataset: str,
    key: Annotated[Sequence[str], _Several] = (),
    prediction_id: Annotated[Sequence[str], _Several] = (),
    folder: Annotated[Sequence[Path], _Several] = (),
    mask: Annotated[bool, Parameter(negative=())] = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    yes: Annotated[bool, Parameter(negative=())] = False,
    as_json: AsJson = False,
) -> None:
    """Find the rows of one identity wherever they are kept, and erase them.

    Without --yes nothing is changed. Request log, batches, results, quarantine, checked tables and
    training sets are searched; what cannot be changed here is named: sources, versions that have
    learned from the rows, backups. An interrupted erasure is resumed by giving the same command
    again.

    Parameters
    ----------
    dataset
        Dataset of the rows.
    key
        Values that all of the rows have, as COLUMN=VALUE; several have to be met together.
    prediction_id
        Ids of predictions whose rows are meant as well.
    folder
        Further folders to search: exports, and files that were scored.
    mask
        Keep predictions in the request log, without their inputs.
    dry_run
        Only look, which is what happens without --yes.
    yes
        Erase what is found.
    as_json
        Print one JSON object, for machines.
    """
    if dry_run and yes:
        raise InvalidInputError(
            "--dry-run and --yes", "contradict each other", "Give --yes alone to erase."
        )
    for one in folder:
        if not one.exists():
            raise InvalidInputError(f"--folder {one}", "is not there", "Check the path.")
    from model_loop.datasets.registry import get_dataset
    from model_loop.erasure.erase import Erasure
    from model_loop.erasure.identity import read_identity

    identity = read_identity(get_dataset(dataset), key, prediction_id)
    erasure = Erasure(get_settings(), folder, mask=mask)
    report = erasure.erase(identity) if yes else erasure.look(identity)
    if as_json:
        print(json.dumps(asdict(report)))  # noqa: T201 - for machines
    else:
        _print(report)


def _print(report: ErasureReport) -> None:
    out = console()
    table = Table("where", "rows", "outcome", "place", box=box.SIMPLE_HEAD)
    table.columns[1].justify = "right"
    for trace in report.traces:
        outcome = trace.outcome if report.erased or trace.is_left else f"would be {trace.outcome}"
        note = f"\n{trace.note}" if trace.note else ""
        table.add_row(
            trace.store, f"{trace.rows:,}" if trace.rows else "", outcome, f"{trace.address}{note}"
        )
    out.print(table)
    rows = sum(trace.rows for trace in report.traces if not trace.is_left)
    if report.erased:
        out.print(f"{rows:,} rows were erased, and a second search of these places finds none.")
    else:
        out.print(f"{rows:,} rows were found. Nothing was changed: --yes erases them.")
    if left := sum(trace.rows for trace in report.traces if trace.is_left):
        out.print(f"{left:,} rows are in places that are not changed here; each says what to do.")
    for at in report.before:
        when = dt.datetime.fromtimestamp(at, dt.UTC)
        out.print(f"The same identity was erased before, on {when:%Y-%m-%d %H:%M} UTC.")
