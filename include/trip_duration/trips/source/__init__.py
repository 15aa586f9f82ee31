"""Where months come from, and fetching each of them once."""

from trip_duration.trips.source.allowed import require_allowed_source
from trip_duration.trips.source.fetching import (
    check_months,
    fetch_file,
    fetch_month,
    file_name,
    look_up_month,
)
from trip_duration.trips.source.naming import Naming
from trip_duration.trips.source.types import DataSource, MonthFile, RawMonth

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
