"""Commands of `model-loop` that only trips have."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from model_loop.cli.options import AsJson
from model_loop.cli.report import print_written
from model_loop.errors import InvalidInputError
from trip_duration.months import Month, parse_months
from trip_duration.sample_options import SampleOptions
from trip_duration.services import get_service
from trip_duration.settings import get_trip_settings


def add_commands(app: App) -> None:
    """Add the commands to those of the loop."""
    app.command(sample)


def sample(
    folder: Path,
    *,
    service: str = "green",
    months: str = "2024-01..2024-03",
    trips: int = get_trip_settings().sample_trips_per_month,
    seed: int = get_trip_settings().sample_seed,
    as_json: AsJson = False,
) -> None:
    """Generate sample months into a folder, in TLC's schema and always labelled as sample.

    Parameters
    ----------
    folder
        Folder to write to; it serves as a `--source` afterwards.
    service
        green, yellow or fhvhv.
    months
        2024-01, a list with commas, or a range 2023-11..2024-01.
    trips
        Trips in each month.
    seed
        Same seed, same months, to the byte.
    as_json
        Print one JSON object, for machines.
    """
    from trip_duration.sample import write_month  # noqa: PLC0415 - help is shown without pyarrow

    options, which = SampleOptions(trips=trips, seed=seed), get_service(service)
    if not months.strip():
        raise InvalidInputError(
            "The list of months", "is empty", "Name at least one month, as YYYY-MM."
        )
    paths = {
        month: folder / f"{service}_tripdata_{month}.parquet" for month in parse_months(months)
    }
    _require_absent(paths)
    for month, path in paths.items():
        write_month(path, which, month, options)
    print_written([str(path) for path in paths.values()], as_json=as_json)


def _require_absent(paths: dict[Month, Path]) -> None:
    for path in paths.values():
        if path.exists():
            raise InvalidInputError(
                f"File {path}", "exists", "Choose another folder: nothing is overwritten."
            )
