"""Services."""

from __future__ import annotations

import pytest

from model_loop.errors import InvalidInputError
from model_loop.trips.services import get_service


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
    with pytest.raises(InvalidInputError, match=r"trip_distence is published for no service"):
        get_service("green").published_names(["PULocationID", "trip_distence"])
