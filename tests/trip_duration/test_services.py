"""Services."""

from __future__ import annotations

import pytest

from model_loop.errors import InvalidInputError
from trip_duration.services import SERVICES, get_service


def test_unknown_service() -> None:
    """An unknown service is refused with the known ones."""
    with pytest.raises(InvalidInputError, match=r"'blue' is unknown.*green, yellow, fhvhv"):
        get_service("blue")


def test_names_as_published() -> None:
    """Our names become the published ones; a column that another service has is left out."""
    names = get_service("fhvhv").published_names(["trip_distance", "passenger_count"])
    assert names == {"trip_distance": "trip_miles"}


def test_unknown_column() -> None:
    """A mistyped column is refused: it does not read as missing values."""
    with pytest.raises(InvalidInputError, match=r"trip_distence is not published for any service"):
        get_service("green").published_names(["PULocationID", "trip_distence"])


def test_every_unknown_column_is_named() -> None:
    """With all that can be chosen, in the order of the alphabet."""
    columns = {name for service in SERVICES.values() for name in service.columns}
    with pytest.raises(InvalidInputError) as caught:
        get_service("yellow").published_names(["b", "VendorID", "a"])
    assert caught.value.given == "Column b, a"
    assert caught.value.remedy == f"Choose from: {', '.join(sorted(columns))}."


def test_a_column_that_a_service_does_not_publish() -> None:
    """It has no name there."""
    assert get_service("fhvhv").published_name("trip_distance") == "trip_miles"
    assert get_service("fhvhv").published_name("passenger_count") is None
