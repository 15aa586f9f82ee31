"""Whole months, generated and written."""

from __future__ import annotations

import zlib
from os import PathLike

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from model_loop.objects.files import atomic_write
from trip_duration.months import Month
from trip_duration.sample.city import City
from trip_duration.sample.columns import corrupt, published_columns
from trip_duration.sample_options import GENERATOR_VERSION, SampleOptions
from trip_duration.services import Service

_LABEL_KEY = b"data_source"
_LABEL = b"sample"


def generate_month(service: Service, month: Month, options: SampleOptions) -> pa.Table:
    """Generate one month, in the columns and types that TLC publishes for the service.

    Zones and the traffic between them depend on the seed and the service only, so that successive
    months resemble each other as real ones do.
    """
    kind = zlib.crc32(service.name.encode())
    city = City(service.name, np.random.default_rng([options.seed, kind]))
    random = np.random.default_rng([options.seed, kind, month.year, month.number])
    travelled = city.travel(month, options.trips, options.drift, random)
    trips, rows = corrupt(travelled, options.dirt, random)
    metadata = {
        _LABEL_KEY: _LABEL,
        b"sample_options": options.to_json().encode(),
        b"sample_generator_version": str(GENERATOR_VERSION).encode(),
    }
    columns = published_columns(service, trips, random, options.drift.missing_share)
    return columns.take(rows).replace_schema_metadata(metadata)


def write_month(
    path: str | PathLike[str] | UPath, service: Service, month: Month, options: SampleOptions
) -> None:
    """Generate one month into a Parquet file, which appears whole or not at all."""
    table = generate_month(service, month, options)
    with atomic_write(UPath(path)) as partial, partial.open("wb") as file:
        pq.write_table(table, file)


def is_sample(path: str | PathLike[str] | UPath) -> bool:
    """Return whether a Parquet file is marked as generated; False for any other file."""
    try:
        with UPath(path).open("rb") as file:
            metadata = pq.read_schema(file).metadata or {}
    except (pa.ArrowException, UnicodeDecodeError):
        return False
    except OSError as error:
        # Arrow reports a damaged footer as an OSError without a number.
        if error.errno is not None:
            raise
        return False
    return bool(metadata.get(_LABEL_KEY) == _LABEL)
