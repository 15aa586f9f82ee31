"""Published months as monitoring reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from model_loop.monitoring.health.stored import newest_made
from model_loop.monitoring.health.types import Product
from model_loop.options import build
from trip_duration.cleaning import Selection, clean_month
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.contract.checked import CheckedMonth, CheckedMonthStore
from trip_duration.services import get_service


def rows_of(month: CheckedMonth, columns: Sequence[str]) -> pd.DataFrame:
    """Return the trips of a month, cleaned as for training, with how long they took.

    Raises
    ------
    ContractError
        If the file is damaged, or no trip is left.
    """
    service = get_service(month.raw.service)
    return clean_month(month, service, Selection(tuple(columns), build(CleaningRules, {})))


def products(storage_root: str) -> Iterator[Product]:
    """Yield the newest checked month of each service, for health."""
    folder = CheckedMonthStore(storage_root).folder
    for service in sorted(folder.iterdir()) if folder.exists() else ():
        made = newest_made(service)
        if made is not None:
            yield Product("months", service.name, *made)
