"""Cut published months down to what fits into the repository.

python -m tests.published.cut FOLDER

Keeps 3,000 rows of each month at random, and besides these each row that began outside its month:
so the dirt of a month is all there, and its figures are not those of the month.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

HERE = Path(__file__).parent
MONTHS = ("2023-01", "2023-02", "2024-01", "2024-02", "2024-03", "2024-04")
ROWS = 3_000
_SEED = 7


def cut(folder: Path, month: str) -> None:
    """Write the cut of a month, with the columns and types that it has."""
    name = f"green_tripdata_{month}.parquet"
    table = pq.read_table(folder / name)
    began = table["lpep_pickup_datetime"].to_numpy().astype("datetime64[M]")
    chosen = np.random.default_rng(_SEED).choice(len(table), ROWS, replace=False)
    rows = np.union1d(chosen, np.flatnonzero(began != np.datetime64(month)))
    pq.write_table(table.take(rows), HERE / name, compression="zstd")


if __name__ == "__main__":
    for each in MONTHS:
        cut(Path(sys.argv[1]), each)
