"""Where months come from, and fetching each of them once."""

from model_loop.trips.source.allowed import require_allowed_source
from model_loop.trips.source.fetching import (
    check_months,
    fetch_file,
    fetch_month,
    file_name,
    look_up_month,
)
from model_loop.trips.source.naming import Naming
from model_loop.trips.source.types import DataSource, MonthFile, RawMonth

__all__ = [
    "DataSource",
    "MonthFile",
    "Naming",
    "RawMonth",
    "check_months",
    "fetch_file",
    "fetch_month",
    "file_name",
    "look_up_month",
    "require_allowed_source",
]
