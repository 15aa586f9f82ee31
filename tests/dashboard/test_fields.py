"""Fields of the playground, by the declaration and by what the champion has learned from."""

from __future__ import annotations

from tests.dashboard.conftest import REGISTRY, Documents, MakeSources
from tests.heating import heating

from model_loop.dashboard.fields import FormField, form_fields
from model_loop.dashboard.pages import PAGES
from model_loop.dashboard.rendering import PageContext, render
from model_loop.dashboard.types import LearnedColumn
from trip_duration.dataset import TRIPS

LEARNED = {
    "measured_at": LearnedColumn(example="2024-03-01T08:30:00"),
    "building": LearnedColumn(("pool", "library"), example="pool"),
    "occupied": LearnedColumn(example=True),
    "temperature": LearnedColumn((), -3.5, 21.25, 12.123456789),
}


def by_name(fields: list[FormField]) -> dict[str, FormField]:
    """Index fields."""
    return {field.name: field for field in fields}


def test_fields_follow_from_the_declaration() -> None:
    """Types, units, bounds, known categories, and a row that the champion knows."""
    fields = by_name(form_fields(heating(), LEARNED, {}))
    assert {name: field.kind for name, field in fields.items()} == {
        "measured_at": "time",
        "building": "text",
        "occupied": "yes_no",
        "temperature": "number",
        "area": "number",
    }
    assert fields["temperature"].label == "Temperature (°C)"
    assert fields["temperature"].help == "Learned from -3.5 to 21.2."
    assert {name: field.value for name, field in fields.items()} == {
        "measured_at": "2024-03-01T08:30:00",
        "building": "pool",
        "occupied": "true",
        "temperature": "12.1235",
        "area": "",
    }
    # Declared categories go before those that were seen.
    assert [value for value, _ in fields["building"].options][:1] == ["library"]
    assert [field.name for field in fields.values() if field.required] == ["building"]


def test_codes_are_chosen_by_their_labels_and_moments_are_told() -> None:
    """Bounds of a number go to the browser, and so does the moment from which it is known."""
    fields = by_name(form_fields(TRIPS, {}, {"pickup_zone": 74}))
    zones = fields["pickup_zone"]
    assert (zones.kind, zones.value, len(zones.options) > 200) == ("choice", "74", True)
    assert fields["trip_distance"].attributes == {"min": "0", "max": "1e+06", "step": "any"}
    assert fields["passenger_count"].attributes["step"] == "1"
    assert "Known when the trip has ended." in fields["trip_distance"].help
    assert not fields["trip_distance"].required


def test_the_form_begins_with_a_row_of_the_champion(make_sources: MakeSources) -> None:
    """And a dataset without a panel shows none."""
    heating()
    documents = Documents(kept_columns=LEARNED)
    sources = make_sources(documents, variant="heating", registry=REGISTRY)
    html = render(PAGES["playground"](sources, {}), PageContext(sources, "green"))
    assert 'value="2024-03-01T08:30:00"' in html
    assert '<option value="true" selected>yes</option>' in html
    assert '<datalist id="values-building">' in html
    assert 'data-unit="kWh"' in html
    assert 'id="map"' not in html
    assert 'name="moment"' not in html
    assert 'name="level" data-kind="number" value="90.0" min="50.0" max="99.0"' in html
    trips = make_sources(registry=REGISTRY)
    html = render(PAGES["playground"](trips, {}), PageContext(trips, "green"))
    assert 'id="map"' in html
    assert 'name="moment"' in html
    assert "/map.js" in html
