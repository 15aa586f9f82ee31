"""Request for a training set of a declared table."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.stored import dataset_of_text, declaration_of_text, text_of_declaration
from model_loop.errors import look_up
from model_loop.findings import Acceptance
from model_loop.partitions.contract import TableLimits
from model_loop.partitions.source import resolved_source
from model_loop.training_set.encodings import Encoding
from model_loop.training_set.split import TableSplit

#: Raised whenever a contract would let other rows pass: it is part of every product's key.
_CONTRACT_VERSION = 2
#: Raised whenever the same rows would be checked or encoded differently: it is part of every key.
_TABLE_VERSION = 2
#: Versions for tables of a country: before the first, no feature was made of its holidays.
_HOLIDAYS_VERSION = 1


class PreparationRequest(Protocol):
    """Request for a training set of any dataset, stored with what was made of it."""

    @property
    def dataset(self) -> Dataset:
        """Dataset, as this request has it."""

    @property
    def service(self) -> str:
        """Key of the variant."""

    @property
    def recipe(self) -> str:
        """Name of the recipe."""

    @property
    def encoding(self) -> Encoding:
        """Form in which models get their columns."""

    @property
    def source(self) -> str:
        """Address of the files."""

    @property
    def random_state(self) -> int:
        """Seed."""

    @property
    def accepted_findings(self) -> tuple[str, ...]:
        """Findings that a person has accepted."""

    @property
    def split(self) -> Any:  # noqa: ANN401 - the dataset's own
        """Rule of the parts."""

    @property
    def contract_version(self) -> int:
        """Number that changes with the rules that rows are checked by."""

    @property
    def key(self) -> str:
        """Digest (sha256, hex) of everything that was asked for."""

    @property
    def content_key(self) -> str:
        """Digest without the source: the digests of its files tell them apart."""

    def partitions_in(self, part: str) -> tuple[str, ...]:
        """Return the partitions of a part; none where only the rows say it."""

    def with_source(self, source: str) -> Self:
        """Return the request for the same files at another address."""


@dataclass(frozen=True)
class TableRequest:
    """Table, variant, recipe and split of a training set.

    Parameters
    ----------
    declaration
        The completed declaration as JSON, see `partitions.completing`: models answer by it,
        whatever its file says later.
    variant
        Key of the variant.
    recipe
        Name of the recipe.
    split
        Rule of the parts, and where they begin once rows have been seen.
    partitions
        Keys of the partitions that are read; all, if empty.
    random_state
        Seed of the cross-fitted target encodings, and of shuffling.
    accepted_findings
        Findings that a person has accepted.
    limits
        Shares of rows above which a partition is refused.
    """

    declaration: str
    variant: str
    recipe: str
    split: TableSplit
    partitions: tuple[str, ...] = ()
    random_state: int = 42
    encoding: Encoding = "native"
    accepted_findings: tuple[str, ...] = ()
    limits: TableLimits = field(default_factory=TableLimits)

    def __post_init__(self) -> None:
        """Check the names."""
        look_up("Variant", self.variant, self.dataset.variants)
        self.dataset.recipe(self.recipe)
        for text in self.accepted_findings:
            Acceptance.parse(text)

    @functools.cached_property
    def dataset(self) -> Dataset:
        """Dataset, as the declaration of this request has it."""
        return dataset_of_text(self.declaration)

    @property
    def source(self) -> str:
        """Return the address of the files, with ``{partition}`` or ``*`` as declared."""
        content: str = json.loads(self.declaration)["source"]
        return content

    @property
    def service(self) -> str:
        """Return the key of the variant, by its name in stored requests of months."""
        return self.variant

    @property
    def contract_version(self) -> int:
        """Number that changes with the rules that rows are checked by."""
        return _CONTRACT_VERSION

    def partitions_in(self, part: str) -> tuple[str, ...]:  # noqa: ARG002 - see the protocol
        """Return none: only the rows say which partitions a part has."""
        return ()

    def with_source(self, source: str) -> Self:
        """Return the request for the same files at another address."""
        declaration = declaration_of_text(self.declaration)
        variants = {
            name: variant.model_copy(update={"source": None})
            for name, variant in declaration.variants.items()
        }
        there = declaration.model_copy(update={"source": source, "variants": variants})
        there = resolved_source(there, Path.cwd())
        return replace(self, declaration=text_of_declaration(there))

    @functools.cached_property
    def key(self) -> str:
        """Digest (sha256, hex) of everything that was asked for."""
        return self._digest(asdict(self))

    @functools.cached_property
    def content_key(self) -> str:
        """Key of the content, without the source: the digests of its files tell them apart."""
        declared = {**json.loads(self.declaration), "source": None, "variants": None}
        return self._digest({**asdict(self), "declaration": declared})

    def _digest(self, content: object) -> str:
        versioned = {"request": content, "table_version": _TABLE_VERSION}
        time = declaration_of_text(self.declaration).time
        if time is not None and time.country is not None:
            versioned["holidays"] = _HOLIDAYS_VERSION
        return hashlib.sha256(json.dumps(versioned, sort_keys=True).encode()).hexdigest()
