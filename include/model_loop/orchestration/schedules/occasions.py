"""From events of assets to what they ask for: a source, a service, and its months.

Several events may start one run. Those of one source, service and moment are answered by it
together; for those of every other one a run of its own is triggered. Months that are published are
of no moment, and go with whatever else is about their source and service.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from model_loop.datasets.dataset import Moment
from model_loop.errors import InvalidInputError
from model_loop.orchestration.assets import DRIFT, PUBLISHED_MONTHS
from model_loop.orchestration.schedules.drifts import completed
from trip_duration.months import Month
from trip_duration.recipes import RECIPES
from trip_duration.services import MOMENTS, get_service

#: Events of assets, as Airflow gives them to the tasks of a run that they have started.
Events = Mapping[Any, Sequence[Any]]


@dataclass(frozen=True)
class Occasion:
    """Request of the events of one source and service.

    Parameters
    ----------
    source, service
        Source and service of the months.
    months
        The months that the events name, in their order; none where they name none.
    reasons
        Reasons in the events, for people.
    recipe
        Recipe of the version that has drifted; empty where the events name none of ours.
    moment
        Moment of that version; None where the events do not name it.
    """

    source: str
    service: str
    months: tuple[Month, ...]
    reasons: tuple[str, ...]
    recipe: str = ""
    moment: Moment | None = None

    @property
    def why(self) -> str:
        """One line: what has led to a run."""
        return "; ".join(self.reasons)

    @property
    def newest(self) -> Month | None:
        """The newest month that the events name; None where they name none."""
        return max(self.months, default=None)

    @classmethod
    def read(cls, asset: str, extra: Mapping[str, Any]) -> Self:
        """Return what one event asks for.

        Raises
        ------
        InvalidInputError
            If the event names no source or no service, or a month that is none.
        """
        if asset == DRIFT.name and isinstance(extra.get("service"), str):
            extra = completed(extra, extra["service"])
        for name in ("source", "service"):
            if not isinstance(extra.get(name), str) or not extra[name]:
                raise InvalidInputError(
                    f"The event of the asset {asset}",
                    f"names no {name}",
                    'Send it with extra such as {"source": "tlc", "service": "green", "months": '
                    '["2024-01"]}.',
                )
        service = get_service(extra["service"]).name
        months = tuple(sorted({Month.parse(str(text)) for text in extra.get("months") or ()}))
        if asset == DRIFT.name:
            reason = f"drift: {extra.get('why') or 'no reason given'}"
        elif months:
            reason = f"published: {', '.join(map(str, months))}"
        else:
            raise InvalidInputError(
                f"The event of the asset {asset}",
                "names no month",
                'Send it with extra that has months, such as ["2024-01"].',
            )
        recipe = RECIPES.get(str(extra.get("recipe")))
        told = next((one for one in MOMENTS if one == extra.get("moment")), None)
        return cls(
            extra["source"],
            service,
            months,
            (reason,),
            recipe.name if recipe else "",
            recipe.moment if recipe else told,
        )

    def is_about(self, other: Self) -> bool:
        """Return whether one run answers both."""
        same = (self.source, self.service) == (other.source, other.service)
        return same and (self.moment == other.moment or None in {self.moment, other.moment})

    def joined(self, other: Self) -> Self:
        """Return both as one; what is said twice is said once."""
        return dataclasses.replace(
            self,
            months=tuple(sorted({*self.months, *other.months})),
            recipe=self.recipe or other.recipe,
            moment=self.moment or other.moment,
            reasons=tuple(dict.fromkeys([*self.reasons, *other.reasons])),
        )


def read_occasions(events: Events) -> list[Occasion]:
    """Return what the events of a run ask for, the first that came first.

    Raises
    ------
    InvalidInputError
        See `Occasion.read`.
    """
    found: list[Occasion] = []
    for asset in (PUBLISHED_MONTHS, DRIFT):
        for one in (Occasion.read(asset.name, event.extra) for event in events.get(asset, ())):
            place = next((at for at, other in enumerate(found) if other.is_about(one)), None)
            if place is None:
                found.append(one)
            else:
                found[place] = found[place].joined(one)
    return found


def form_of(params: Mapping[str, Any], events: Events) -> dict[str, Any]:
    """Return the form of a run, with source and service as the events that started it say."""
    for first in read_occasions(events)[:1]:
        return {**params, "source": first.source, "service": first.service}
    return dict(params)


def form_of_plan(params: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form of a run, with source and service as its plan says.

    A plan that an older version of this package has made names none: they were those of the form.
    """
    return {**params, **{name: plan[name] for name in ("source", "service") if name in plan}}
