"""The figures of a month."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure
from tests.trips.conftest import GREEN, JANUARY, fetch

from model_loop.charts import months
from model_loop.trips.contract.checked import CheckedMonthStore
from model_loop.trips.contract.rules import Limits
from model_loop.trips.profile import MonthProfile, ProfileBuilder, profile_month
from model_loop.trips.sample_options import SampleOptions

Draw = Callable[[MonthProfile], Figure]


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> MonthProfile:
    """The profile of a small month."""
    folder = tmp_path_factory.mktemp("month")
    raw = fetch("sample", folder, SampleOptions(trips=2_000))
    return profile_month(CheckedMonthStore(str(folder)).check(raw, GREEN, Limits()))


@pytest.mark.parametrize("draw", months.FIGURES.values(), ids=list(months.FIGURES))
def test_says_what_is_seen(draw: Draw, profile: MonthProfile) -> None:
    """Every figure has a title with the month, named axes, and can be saved."""
    figure = draw(profile)
    axes = figure.axes[0]
    assert axes.get_title("left").startswith("green 2024-01: ")
    assert axes.get_xlabel()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize("draw", months.FIGURES.values(), ids=list(months.FIGURES))
def test_says_when_there_is_nothing(draw: Draw) -> None:
    """A profile without trips gives a figure that says so."""
    figure = draw(ProfileBuilder("green", JANUARY).build())
    assert [text.get_text() for text in figure.axes[0].texts] == ["no trips"]


def test_bars_are_the_counts(profile: MonthProfile) -> None:
    """Histograms and days show the profile's numbers, the rest beyond in another colour."""
    for draw, counts in (
        (months.durations, profile.durations.counts),
        (months.distances, profile.distances.counts),
        (months.trips_per_day, profile.per_day),
    ):
        bars = draw(profile).axes[0].patches
        assert tuple(bar.get_height() for bar in bars) == counts  # type: ignore[attr-defined]  # a bar
    bars = months.durations(profile).axes[0].patches
    assert bars[-1].get_facecolor() != bars[0].get_facecolor()


def test_heat_map_is_the_table(profile: MonthProfile) -> None:
    """Weekdays stand below each other, hours side by side."""
    axes = months.trips_per_hour(profile).axes[0]
    assert np.array_equal(axes.images[0].get_array(), profile.per_weekday_and_hour)  # type: ignore[arg-type]  # an array
    assert axes.get_yticklabels()[0].get_text() == "Mon"


def test_map_shows_every_zone_with_a_place(profile: MonthProfile) -> None:
    """Circles stand at the zones' centroids, larger where more trips begin."""
    circles = months.pickup_zones(profile).axes[0].collections[0]
    shown = [zone for zone in profile.zones if zone.trips >= 5 and zone.zone <= 263]
    assert len(circles.get_offsets()) == len(shown)  # type: ignore[arg-type]  # an array
    sizes = circles.get_sizes()  # type: ignore[attr-defined]  # circles have sizes
    assert int(np.argmax(sizes)) == int(np.argmax([zone.trips for zone in shown]))


def test_missing_values_are_labelled(profile: MonthProfile) -> None:
    """Each column has a bar with its share."""
    axes = months.missing_values(profile).axes[0]
    labels = [text.get_text() for text in axes.texts]
    assert len(labels) == len(profile.columns)
    share = 100 * profile.column("passenger_count").missing_share
    assert f"{share:.1f} %" in labels
