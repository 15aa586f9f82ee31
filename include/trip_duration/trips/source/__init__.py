"""Where months come from, and fetching each of them once."""

from trip_duration.trips.source.fetching import (
    DataSource,
    RawMonth,
    check_months,
    fetch_month,
    file_name,
    look_up_month,
)

__all__ = ["DataSource", "RawMonth", "check_months", "fetch_month", "file_name", "look_up_month"]
