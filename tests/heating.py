"""A table that is declared in a file: text categories, missing values and a time zone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.declaration_file import parse_declaration
from model_loop.datasets.declared import dataset_of
from model_loop.datasets.registry import use_dataset

HEATING = """
name = "heating"
title = "Heat of buildings"
target = "load"
source = "heating-{partition}.csv"
partition = "month"
labels_after = "2 days"
label_keys = ["building", "measured_at"]
[time]
column = "measured_at"
stored_in = "UTC"
time_zone = "Europe/Paris"
[task]
unit = "kWh"
[columns.measured_at]
type = "time"
[columns.building]
type = "category"
title = "Building"
categories = ["library", "pool", "school", "town hall"]
constraints = { required = true }
[columns.occupied]
type = "yes_no"
[columns.temperature]
type = "number"
unit = "°C"
[columns.area]
type = "number"
unit = "m"
[columns.load]
type = "number"
"""
BUILDINGS = ("library", "pool", "school", "town hall")


def heating() -> Dataset:
    """Return the dataset, known to this process."""
    return use_dataset(dataset_of(parse_declaration(HEATING, "heating.toml")))


def heating_rows(month: str, count: int = 6_000, seed: int = 0) -> pd.DataFrame:
    """Draw the rows of a month, times on the clocks of Paris; every twelfth has no temperature."""
    random = np.random.default_rng([seed, int(month.replace("-", ""))])
    first = np.datetime64(month, "D")
    days = int((np.datetime64(month, "M") + 1 - first).astype(int))
    busy = 1.5 - np.cos((np.arange(24) - 2) / 24 * 2 * np.pi)
    hours = random.choice(24, count, p=busy / busy.sum())
    seconds = hours * 3_600 + random.integers(0, 3_600, count)
    day = first + random.integers(0, days, count).astype("timedelta64[D]")
    times = np.sort(day.astype("datetime64[s]") + seconds.astype("timedelta64[s]"))
    hour = times.astype("datetime64[h]").astype(int) % 24
    which = random.choice(4, count, p=(0.4, 0.3, 0.2, 0.1))
    temperature = 12 - 6 * np.cos((hour - 3) / 24 * 2 * np.pi) + random.normal(0, 3, count)
    area = np.array([400.0, 900.0, 1_500.0, 2_500.0])[which] * random.uniform(0.8, 1.2, count)
    occupied = (hour >= 8) & (hour < 18) & (random.random(count) < 0.9)
    load = area / 50 * (1.5 - temperature / 30) * np.where(occupied, 1.4, 1.0)
    missing = random.random(count) < 1 / 12
    return pd.DataFrame(
        {
            "measured_at": times.astype("datetime64[us]"),
            "building": pd.Series(np.array(BUILDINGS, dtype=object)[which]),
            "occupied": occupied,
            "temperature": np.where(missing, np.nan, temperature),
            "area": area,
            "load": load * random.uniform(0.9, 1.1, count),
        }
    )
