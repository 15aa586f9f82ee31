"""Request for a training set."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict, field, replace
from types import MappingProxyType
from typing import Self

from model_loop.datasets.dataset import Dataset
from model_loop.findings import Acceptance
from model_loop.options import Lines, option, options, setting_option
from model_loop.training_set.encodings import Encoding
from trip_duration.cleaning_rules import CLEANING_VERSION, CleaningRules
from trip_duration.contract.breaches import CONTRACT_VERSION
from trip_duration.dataset import TRIPS
from trip_duration.months import MonthSplit
from trip_duration.recipes import DEFAULT_RECIPE, RECIPES, get_recipe
from trip_duration.sample_options import SampleOptions
from trip_duration.services import SERVICES, get_service

#: Raised whenever the same trips would be encoded differently: it is part of every product's key.
ENCODING_VERSION = 2
_VERSIONS = MappingProxyType(
    {"cleaning_version": CLEANING_VERSION, "encoding_version": ENCODING_VERSION}
)


@options
class TrainingSetRequest:
    """Service, months, recipe and encoding of a training set.

    Raises
    ------
    InvalidInputError
        If the service, recipe or encoding is unknown.
    """

    source: str = setting_option(
        "source",
        description="sample (generated trips, always labelled so), tlc (TLC's own site), or the "
        "path, s3:// or https:// address of a folder. A run names only what the operator allows.",
    )
    service: str = setting_option(
        "variant",
        name="service",
        title="Service",
        description="Whose trips: green, yellow or fhvhv.",
        choices={name: service.title for name, service in SERVICES.items()},
    )
    split: MonthSplit = field(default_factory=MonthSplit)
    recipe: str = option(
        DEFAULT_RECIPE,
        "Recipe",
        "Columns of a trip that the model may use, and so the moment from which it can predict.",
        choices={
            name: f"{name}: {recipe.title}; {recipe.asked}" for name, recipe in RECIPES.items()
        },
    )
    encoding: Encoding = option(
        "native",
        "Encoding",
        "Encoding of the columns for the model.",
        choices={
            "native": "native: what suits each model family",
            "one_hot": "one_hot: the course's matrix, exactly",
        },
    )
    rules: CleaningRules = field(default_factory=CleaningRules)
    sample: SampleOptions = field(default_factory=SampleOptions)
    #: Seed of the cross-fitted target encodings.
    random_state: int = 42
    accepted_findings: Lines = option(
        (),
        "Accepted findings",
        "Findings that would refuse a correct month, such as 2024-02 another_unit. They "
        "are recorded with everything that is made of the month.",
    )

    def __post_init__(self) -> None:
        """Check the names."""
        get_service(self.service)
        get_recipe(self.recipe)
        for text in self.accepted_findings:
            Acceptance.parse(text)

    @property
    def dataset(self) -> Dataset:
        """The dataset of trips."""
        return TRIPS

    @property
    def contract_version(self) -> int:
        """Number that changes with the rules that months are checked by."""
        return CONTRACT_VERSION

    def partitions_in(self, part: str) -> tuple[str, ...]:
        """Return the months of a part."""
        return tuple(map(str, getattr(self.split, part, ())))

    def with_source(self, source: str) -> Self:
        """Return the request for the same months at another address."""
        return replace(self, source=source)

    @functools.cached_property
    def key(self) -> str:
        """Digest (sha256, hex) of everything that was asked for."""
        return _digest({"request": self._content(), **_VERSIONS})

    @functools.cached_property
    def content_key(self) -> str:
        """Key of the content, without the source of the months: their digests tell them apart."""
        content = {**self._content(), "source": None, "sample": None}
        return _digest({"request": content, **_VERSIONS})

    def _content(self) -> dict[str, object]:
        content = asdict(self)
        # Without accepted findings, the keys of stored products must not change.
        if not self.accepted_findings:
            del content["accepted_findings"]
        return content


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
