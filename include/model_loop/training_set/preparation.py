"""Preparation: the way from the files of a dataset to a training set, step by step.

DAGs make a task of each step, commands and notebooks call `build_training_set`. A dataset in Python
may have a preparation of its own (extension `preparation`); declared tables share one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

from model_loop.datasets.dataset import Dataset
from model_loop.findings import (
    DoubtfulDataWarning,
    Finding,
    RefusedPartitionError,
    require_none_refused,
)
from model_loop.training_set.declared import TablePreparation
from model_loop.training_set.products import TrainingSetProduct
from model_loop.training_set.request import PreparationRequest
from model_loop.training_set.types import TrainingSet

#: A type of the dataset itself, which is stored between the steps.
Own = Any


class Verdict(Protocol):
    """A partition that keeps its contract, compared with those before it."""

    @property
    def variant(self) -> str:
        """Key of the variant."""

    @property
    def partition(self) -> str:
        """Key of the partition."""

    @property
    def rows(self) -> int:
        """Number of rows that were read."""

    @property
    def quarantined(self) -> int:
        """Number of rows that were set aside."""

    @property
    def digest(self) -> str:
        """Digest of its file."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings, the gravest first."""

    @property
    def refused(self) -> bool:
        """True if nobody may learn from it."""


class Preparation(Protocol):
    """Steps from files to a training set; what one returns, the next one takes.

    Fetched and checked partitions have types of the dataset, and are stored between the steps.
    """

    def request(self, params: Mapping[str, Any], source: str) -> PreparationRequest:
        """Return the training set that a form asks for.

        Raises
        ------
        InvalidInputError
            If a field breaks a rule.
        """

    def plan(
        self,
        request: Own,
        *,
        storage_root: str,
        timeout_seconds: float,
    ) -> tuple[str, ...]:
        """Refuse at once what cannot be built; return the keys of what is fetched, in their order.

        Raises
        ------
        InvalidInputError, SourceError
            If the recipe leaks, or a file is not to be had.
        """

    def is_current(
        self, product: TrainingSetProduct, *, storage_root: str, timeout_seconds: float
    ) -> bool:
        """Return whether the source still has the very files that a training set is made of."""

    def fetch(
        self,
        request: Own,
        partition: str,
        *,
        storage_root: str,
        timeout_seconds: float,
    ) -> Own:
        """Fetch what a key of the plan names."""

    def fetch_named(
        self,
        variant: str,
        source: str,
        partition: str,
        *,
        storage_root: str,
        timeout_seconds: float,
    ) -> Own:
        """Fetch a partition that no training set was asked for with."""

    def check(self, fetched: Own, *, storage_root: str, limits: Own = None) -> Own:
        """Check rows against their contract, unless that was done before.

        Parameters
        ----------
        limits
            Shares of rows above which a partition is refused; those of the dataset by default.

        Raises
        ------
        ContractError
            If the file is not what it should be, or too many rows are set aside.
        """

    def compare(
        self, checked: Sequence[Own], *, storage_root: str, accepted: Iterable[str] = ()
    ) -> Sequence[Verdict]:
        """Compare partitions with those before them, and keep the verdicts.

        Parameters
        ----------
        accepted
            Findings that an operator has accepted; see `Acceptance.parse`.
        """

    def encode(self, request: Own, verdicts: Sequence[Own], *, storage_root: str) -> TrainingSet:
        """Split and encode the rows of sound partitions.

        Raises
        ------
        ContractError
            If a partition is refused, or too few rows are left.
        """


def preparation_of(dataset: Dataset) -> Preparation:
    """Return the preparation of a dataset: its own, or that of declared tables."""
    made: Preparation = (dataset.extensions.load("preparation") or TablePreparation)(dataset)
    return made


def require_sound(dataset: Dataset, verdicts: Sequence[Verdict]) -> tuple[Finding, ...]:
    """Refuse to learn from partitions of which one is refused; return the findings otherwise.

    Raises
    ------
    RefusedPartitionError
        With all findings.
    """
    refused = [verdict.partition for verdict in verdicts if verdict.refused]
    findings = tuple(finding for verdict in verdicts for finding in verdict.findings)
    variant = verdicts[0].variant if verdicts else ""
    word = dataset.partitions[len(refused) == 1].capitalize()
    require_none_refused(f"{word} {', '.join(refused)} of {variant}", findings)
    return findings


#: Logs a partition, fetched or compared, and the findings about it.
PartitionLog = Callable[[Any, Sequence[Finding]], object]


def compare_partitions(
    request: PreparationRequest,
    *,
    storage_root: str,
    timeout_seconds: float = 60.0,
    limits: Own = None,
    log: PartitionLog | None = None,
) -> Sequence[Verdict]:
    """Fetch and check the partitions of a request, and compare each with those before it.

    Parameters
    ----------
    log
        Called with each partition that was compared, and with one that breaks its contract.

    Raises
    ------
    InvalidInputError, SourceError, ContractError
        See `Preparation`.
    """
    preparation = preparation_of(request.dataset)
    keys = preparation.plan(request, storage_root=storage_root, timeout_seconds=timeout_seconds)
    fetched_all = [
        preparation.fetch(request, key, storage_root=storage_root, timeout_seconds=timeout_seconds)
        for key in keys
    ]
    checked = []
    for fetched in fetched_all:
        try:
            checked.append(preparation.check(fetched, storage_root=storage_root, limits=limits))
        except RefusedPartitionError as error:
            if log is not None:
                log(fetched, error.findings)
            raise
    verdicts = preparation.compare(
        checked, storage_root=storage_root, accepted=request.accepted_findings
    )
    if log is not None:
        for verdict in verdicts:
            log(verdict, verdict.findings)
    return verdicts


def build_training_set(
    request: PreparationRequest,
    *,
    storage_root: str,
    timeout_seconds: float = 60.0,
    limits: Own = None,
    accept: Iterable[str] = (),
) -> TrainingSet:
    """Do all of it in one process: the steps of the DAG `data_preparation`, in its order.

    Parameters
    ----------
    accept
        Findings that refuse nothing, besides those of the request: ``2024-02 another_unit``.

    Returns
    -------
    TrainingSet
        Its `findings` are what is doubtful about the partitions. Each is a `DoubtfulDataWarning`
        too.

    Raises
    ------
    InvalidInputError, SourceError, ContractError
        See `Preparation`.
    RefusedPartitionError
        If a partition is far from those before it. Nothing has been encoded then.
    """
    accepted = tuple(dict.fromkeys((*request.accepted_findings, *accept)))
    request = replace(cast("Any", request), accepted_findings=accepted)
    verdicts = compare_partitions(
        request, storage_root=storage_root, timeout_seconds=timeout_seconds, limits=limits
    )
    for finding in require_sound(request.dataset, verdicts):
        warnings.warn(str(finding), DoubtfulDataWarning, stacklevel=2)
    return preparation_of(request.dataset).encode(request, verdicts, storage_root=storage_root)
