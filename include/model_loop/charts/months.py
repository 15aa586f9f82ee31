"""Figures of a month's profile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
from matplotlib.figure import Figure

from model_loop.charts import style
from model_loop.trips.profile import ColumnProfile, Histogram, MonthProfile
from model_loop.trips.services import DURATION, PASSENGERS, TRIP_TYPE, VENDOR
from model_loop.trips.zones import zones

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
#: Columns of which the most frequent values say something.
_COUNTED = (PASSENGERS, VENDOR, TRIP_TYPE)
_LARGEST_CIRCLE = 900.0
#: Fewer trips than this say nothing about a zone's mean.
_LEAST_TRIPS = 5


def durations(profile: MonthProfile) -> Figure:
    """Draw the distribution of the durations."""
    middle = profile.column(DURATION).quantiles.get("0.5", 0.0) if profile.trips else 0.0
    title = f"{_month(profile)}: half of the trips last less than {middle:.0f} minutes"
    return _histogram(profile.durations, title, "duration (minutes)", profile.trips)


def distances(profile: MonthProfile) -> Figure:
    """Draw the distribution of the distances."""
    title = f"{_month(profile)}: distances"
    return _histogram(profile.distances, title, "distance (miles)", profile.trips)


def trips_per_day(profile: MonthProfile) -> Figure:
    """Draw the number of trips that begin on each day."""
    figure, axes = style.figure(f"{_month(profile)}: {profile.trips:,} trips by day")
    if not profile.trips:
        style.say_empty(axes)
        return figure
    days = range(1, len(profile.per_day) + 1)
    style.bars(axes, [day - 0.45 for day in days], profile.per_day, 1.0)
    axes.set_xticks([1, *range(5, len(profile.per_day) + 1, 5)])
    style.label(axes, "day of the month", "trips")
    return figure


def trips_per_hour(profile: MonthProfile) -> Figure:
    """Draw the number of trips that begin at each hour of each weekday."""
    figure, axes = style.figure(f"{_month(profile)}: trips by weekday and hour", height=3.2)
    if not profile.trips:
        style.say_empty(axes)
        return figure
    image = axes.imshow(
        np.array(profile.per_weekday_and_hour), aspect="auto", cmap=style.SCALE, vmin=0
    )
    axes.set_yticks(range(len(_WEEKDAYS)), _WEEKDAYS)
    axes.set_xticks(range(0, 24, 3), [f"{hour}:00" for hour in range(0, 24, 3)])
    axes.spines[:].set_visible(False)
    style.label(axes, "hour of the pick-up", "")
    figure.colorbar(image, ax=axes, label="trips", format=style.NUMBERS)
    return figure


def missing_values(profile: MonthProfile) -> Figure:
    """Draw the share of each column that is missing."""
    figure, axes = style.figure(f"{_month(profile)}: missing values", height=3.2)
    if not profile.trips:
        style.say_empty(axes)
        return figure
    columns = sorted(profile.columns, key=lambda column: column.missing_share)
    shares = [100 * column.missing_share for column in columns]
    drawn = axes.barh([column.name for column in columns], shares, color=style.BLUE)
    axes.bar_label(drawn, [f"{share:.1f} %" for share in shares], padding=4, fontsize=8)
    axes.set_xlim(0, max(10.0, *shares) * 1.15)
    style.label(axes, "share of the trips (%)", "")
    return figure


def most_frequent_values(profile: MonthProfile) -> Figure:
    """The most frequent values of the columns that have few."""
    figure, axes = style.figure(f"{_month(profile)}: most frequent values")
    lines = list(_frequent(profile.columns))[::-1]
    if not lines:
        style.say_empty(axes)
        return figure
    names, counts = zip(*lines, strict=True)
    drawn = axes.barh(names, counts, color=style.BLUE)
    axes.bar_label(drawn, [f"{count:,}" for count in counts], padding=4, fontsize=8)
    axes.xaxis.set_major_formatter(style.NUMBERS)
    axes.margins(x=0.12)
    style.label(axes, "trips", "")
    return figure


def pickup_zones(profile: MonthProfile) -> Figure:
    """Draw the zones where trips begin, and the durations from there."""
    figure, axes = style.figure(f"{_month(profile)}: where trips begin", height=6.5)
    places = zones()
    shown = [
        zone
        for zone in profile.zones
        if zone.zone in places.index
        and zone.trips >= _LEAST_TRIPS
        and not np.isnan(places.latitude[zone.zone])
    ]
    if not shown:
        style.say_empty(axes)
        return figure
    most = max(zone.trips for zone in shown)
    drawn = axes.scatter(
        [places.longitude[zone.zone] for zone in shown],
        [places.latitude[zone.zone] for zone in shown],
        s=[_LARGEST_CIRCLE * zone.trips / most + 4 for zone in shown],
        c=[zone.mean_duration for zone in shown],
        cmap=style.SCALE,
        vmax=float(np.quantile([zone.mean_duration for zone in shown], 0.95)),
        alpha=0.75,
        linewidths=0,
    )
    # A degree of longitude is shorter than one of latitude here.
    axes.set_aspect(1 / np.cos(np.radians(40.7)))
    style.label(axes, f"longitude; the largest circle is {most:,} trips", "latitude")
    figure.colorbar(drawn, ax=axes, label="mean duration (minutes)", shrink=0.7, extend="max")
    return figure


#: Every figure of a month, by the name of its file.
FIGURES: Mapping[str, Callable[[MonthProfile], Figure]] = MappingProxyType(
    {
        figure.__name__: figure
        for figure in (
            durations,
            distances,
            trips_per_day,
            trips_per_hour,
            missing_values,
            most_frequent_values,
            pickup_zones,
        )
    }
)


def _month(profile: MonthProfile) -> str:
    return f"{profile.service} {profile.month}"


def _histogram(histogram: Histogram, title: str, unit: str, trips: int) -> Figure:
    figure, axes = style.figure(title)
    if not trips:
        style.say_empty(axes)
        return figure
    width = histogram.edges[1] - histogram.edges[0]
    style.bars(axes, histogram.edges, histogram.counts, width)
    # The last bin is not like the others: it holds everything beyond.
    axes.patches[-1].set_color(style.ORANGE)
    axes.annotate(
        f"beyond: {histogram.counts[-1]:,}",
        (histogram.edges[-1] + width, histogram.counts[-1]),
        xytext=(0, 6),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=style.GREY,
    )
    style.label(axes, unit, "trips")
    return figure


def _frequent(columns: tuple[ColumnProfile, ...]) -> Iterator[tuple[str, int]]:
    for column in columns:
        if column.name in _COUNTED:
            for value, count in column.most_frequent[:4]:
                yield f"{column.name} = {value:g}", count
