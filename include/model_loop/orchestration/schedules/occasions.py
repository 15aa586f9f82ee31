"""From events of assets to what they ask for: a source, a variant, and its partitions.

Several events may start one run. Those of one source, variant and moment are answered by it
together; for those of every other one a run of its own is triggered. Partitions that are published
are of no moment, and go with whatever else is about their source and variant.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.registry import dataset_of_variant
from model_loop.errors import InvalidInputError, look_up
from model_loop.orchestration.assets import assets_of
from model_loop.orchestration.forms.completing import default_variant, variant_conf
from model_loop.orchestration.schedules.drifts import completed
from model_loop.partitions.keys import check_partition

#: Events of assets, as Airflow gives them to the tasks of a run that they have started.
Events = Mapping[Any, Sequence[Any]]


@dataclass(frozen=True)
class Occasion:
    """Request of the events of one source and variant.

    Parameters
    ----------
    source, service
        Source of the partitions, and key of their variant.
    partitions
        Keys of the partitions that the events name, in their order; none where they name none.
    reasons
        Reasons in the events, for people.
    recipe
        Recipe of the version that has drifted; empty where the events name none of ours.
    moment
        Moment of that version; None where the events do not name it.
    """

    source: str
    service: str
    partitions: tuple[str, ...]
    reasons: tuple[str, ...]
    recipe: str = ""
    moment: Moment | None = None

    @property
    def why(self) -> str:
        """One line: what has led to a run."""
        return "; ".join(self.reasons)

    @property
    def newest(self) -> str | None:
        """The newest partition that the events name; None where they name none."""
        return max(self.partitions, default=None)

    @classmethod
    def read(cls, dataset: Dataset, extra: Mapping[str, Any], *, drift: bool) -> Self:
        """Return what one event asks for.

        Parameters
        ----------
        drift
            Whether it is an event of the asset of drift; otherwise of published partitions.

        Raises
        ------
        InvalidInputError
            If the event names no source or no variant, or a partition that is none.
        """
        assets, field, many = (
            assets_of(dataset),
            dataset.variant_field.name,
            dataset.names.partitions,
        )
        asset = (assets.drift if drift else assets.published).name
        if len(dataset.variants) == 1:
            extra = {field: default_variant(dataset), **extra}
        if drift and isinstance(extra.get(field), str):
            extra = completed(extra, extra[field])
        example: dict[str, Any] = {"source": "…", **variant_conf(dataset, default_variant(dataset))}
        example |= {many: [dataset.partition_example]}
        for name in ("source", field):
            if not isinstance(extra.get(name), str) or not extra[name]:
                raise InvalidInputError(
                    f"The event of the asset {asset}",
                    f"names no {name}",
                    f"Send it with extra such as {json.dumps(example, ensure_ascii=False)}.",
                )
        service = look_up(dataset.variant_field.title, extra[field], dataset.variants).key
        named = extra.get(many) or ()
        partitions = tuple(sorted({check_partition(str(text).strip(), dataset) for text in named}))
        if drift:
            reason = f"drift: {extra.get('why') or 'no reason given'}"
        elif partitions:
            reason = f"published: {', '.join(partitions)}"
        else:
            raise InvalidInputError(
                f"The event of the asset {asset}",
                f"names no {dataset.partitions[1]}",
                f'Send it with extra that has {many}, such as ["{dataset.partition_example}"].',
            )
        recipe = dataset.recipes.get(str(extra.get("recipe")))
        told = next((moment for moment in dataset.moments if moment == extra.get("moment")), None)
        return cls(
            extra["source"],
            service,
            partitions,
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
            partitions=tuple(sorted({*self.partitions, *other.partitions})),
            recipe=self.recipe or other.recipe,
            moment=self.moment or other.moment,
            reasons=tuple(dict.fromkeys([*self.reasons, *other.reasons])),
        )


def read_occasions(dataset: Dataset, events: Events) -> list[Occasion]:
    """Return what the events of a run ask for, the first that came first.

    Raises
    ------
    InvalidInputError
        See `Occasion.read`.
    """
    occasions: list[Occasion] = []
    assets = assets_of(dataset)
    for asset in (assets.published, assets.drift):
        drift = asset == assets.drift
        for event in events.get(asset, ()):
            occasion = Occasion.read(dataset, event.extra, drift=drift)
            position = next(
                (at for at, other in enumerate(occasions) if other.is_about(occasion)), None
            )
            if position is None:
                occasions.append(occasion)
            else:
                occasions[position] = occasions[position].joined(occasion)
    return occasions


def form_of(params: Mapping[str, Any], events: Events) -> dict[str, Any]:
    """Return the form of a run, with source and variant as the events that started it say."""
    for first in read_occasions(dataset_of_variant(params["service"]), events)[:1]:
        return {**params, "source": first.source, "service": first.service}
    return dict(params)


def form_of_plan(params: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form of a run, with source and variant as its plan says.

    A plan that an older version of this package has made names none: they were those of the form.
    """
    return {**params, **{name: plan[name] for name in ("source", "service") if name in plan}}
