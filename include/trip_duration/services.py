"""The services whose trips TLC publishes, one small specification each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from model_loop.datasets.dataset import Moment
from model_loop.errors import InvalidInputError, look_up

#: The names that every service's columns get, so that nothing downstream knows the service.
PICKUP_TIME = "pickup_datetime"
DROPOFF_TIME = "dropoff_datetime"
PICKUP_ZONE = "PULocationID"
DROPOFF_ZONE = "DOLocationID"
DISTANCE = "trip_distance"
PASSENGERS = "passenger_count"
VENDOR = "VendorID"
TRIP_TYPE = "trip_type"
#: Seconds, where the service publishes them: for-hire vehicles.
TRIP_TIME = "trip_time"
#: Amount that was charged, by which a trip and its reversal differ. Known only after the trip: no
#: feature.
AMOUNT = "amount"
#: The target, in minutes.
DURATION = "duration"

#: TLC numbers its zones from 1; 264 is "unknown" and 265 is "outside of the city".
LAST_ZONE = 265

#: Columns without which a row is no trip.
REQUIRED_COLUMNS = (PICKUP_TIME, DROPOFF_TIME, PICKUP_ZONE, DROPOFF_ZONE, DISTANCE)
#: Moments at which a prediction can be asked for, in the order of time: when a ride is ordered, and
#: when the meter has stopped. A model that is asked at a moment may know what is known by then, no
#: more.
MOMENTS: tuple[Moment, ...] = ("booked", "ended")

#: Each moment in words, as it ends a sentence.
WHEN: Mapping[Moment, str] = MappingProxyType(
    {"booked": "when a ride is booked", "ended": "when the trip has ended"}
)

#: Columns that hold the outcome, or are known only together with it: no model may know them.
OUTCOME_COLUMNS = frozenset(
    {
        DROPOFF_TIME,
        TRIP_TIME,
        AMOUNT,
        DURATION,
        # Names as the services publish them.
        "lpep_dropoff_datetime",
        "tpep_dropoff_datetime",
        "fare_amount",
        "base_passenger_fare",
        "driver_pay",
        "extra",
        "tip_amount",
        "tips",
        "tolls",
        "tolls_amount",
        "total_amount",
        "payment_type",
    }
)


@dataclass(frozen=True)
class Service:
    """Names of a service's columns.

    Parameters
    ----------
    name
        Name in the published file names: ``{name}_tripdata_2024-01.parquet``.
    title
        Title for people.
    columns
        Our column name to the published one. A column that is absent here is not published for
        this service and reads as missing.
    """

    name: str
    title: str
    columns: Mapping[str, str]

    def published_name(self, column: str) -> str | None:
        """The published name of one of our columns, or None if this service has no such column."""
        return self.columns.get(column)

    def published_names(self, columns: Iterable[str]) -> dict[str, str]:
        """Our names to the published ones, of those columns that this service publishes.

        Raises
        ------
        InvalidInputError
            If no service has such a column.
        """
        known = {name for service in SERVICES.values() for name in service.columns}
        wanted = dict.fromkeys(columns)
        if unknown := [name for name in wanted if name not in known]:
            raise InvalidInputError(
                f"Column {', '.join(unknown)}",
                "is not published for any service",
                f"Choose from: {', '.join(sorted(known))}.",
            )
        return {name: self.columns[name] for name in wanted if name in self.columns}


def _service(name: str, title: str, **columns: str) -> Service:
    return Service(name, title, MappingProxyType(columns))


SERVICES: Mapping[str, Service] = MappingProxyType(
    {
        service.name: service
        for service in (
            _service(
                "green",
                "Green taxis (boroughs outside the Manhattan core)",
                pickup_datetime="lpep_pickup_datetime",
                dropoff_datetime="lpep_dropoff_datetime",
                PULocationID="PULocationID",
                DOLocationID="DOLocationID",
                trip_distance="trip_distance",
                passenger_count="passenger_count",
                VendorID="VendorID",
                trip_type="trip_type",
                amount="total_amount",
            ),
            _service(
                "yellow",
                "Yellow taxis (all of the city)",
                pickup_datetime="tpep_pickup_datetime",
                dropoff_datetime="tpep_dropoff_datetime",
                PULocationID="PULocationID",
                DOLocationID="DOLocationID",
                trip_distance="trip_distance",
                passenger_count="passenger_count",
                VendorID="VendorID",
                amount="total_amount",
            ),
            _service(
                "fhvhv",
                "High-volume for-hire vehicles (Uber, Lyft)",
                pickup_datetime="pickup_datetime",
                dropoff_datetime="dropoff_datetime",
                PULocationID="PULocationID",
                DOLocationID="DOLocationID",
                trip_distance="trip_miles",
                trip_time="trip_time",
                amount="base_passenger_fare",
            ),
        )
    }
)


def get_service(name: str) -> Service:
    """Find a service by its name.

    Raises
    ------
    InvalidInputError
        If there is no such service.
    """
    return look_up("Service", name, SERVICES)
