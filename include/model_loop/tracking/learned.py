"""Training data of versions, which decides what they may be compared with and may replace."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from model_loop.errors import StoredObjectError
from model_loop.models.gate import Check
from model_loop.sources.origin import data_source_of, is_generated
from model_loop.tracking.lineage import read_lineage
from model_loop.tracking.runs import Tracker
from model_loop.tracking.sources import ACCEPT_GENERATED, label_of, source_of, unknown_remarks
from model_loop.training_set.request import TableRequest

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Learned:
    """Training data of a version.

    Parameters
    ----------
    version
        Its number.
    partitions
        Keys of its train and validation partitions, where partitions are learned from as a whole;
        None where nobody knows, as of a model from elsewhere.
    digests
        Digests of their files; of a declared table, of all of its files.
    data_source
        Source of all of its data; empty if unknown.
    request
        Request of a declared table, whose split says of each row whether it was learned from.
    """

    version: int
    partitions: frozenset[str] | None = None
    digests: frozenset[str] = frozenset()
    data_source: str = ""
    request: TableRequest | None = None

    @property
    def known(self) -> bool:
        """Return whether its data are known."""
        return self.partitions is not None

    @property
    def generated(self) -> bool:
        """Return whether it has learned from generated rows."""
        return is_generated(self.data_source)

    @property
    def published(self) -> bool:
        """Return whether it has learned from published rows, for all that is known."""
        return bool(self.data_source) and not self.generated

    @property
    def label(self) -> str:
        """Return the words for its source."""
        return label_of(self.data_source)

    def has_seen(self, partition: str, digest: str) -> bool:
        """Return whether it has learned from a partition.

        The rows of a partition are the same in every version of its file that was published.
        """
        return partition in (self.partitions or ()) or digest in self.digests


def learned_by(tracker: Tracker, name: str, version: int) -> Learned:
    """Look up what a version of a registered model has learned from, by its lineage.

    Raises
    ------
    InvalidInputError
        If there is no such version.
    """
    found = tracker.client.get_model_version(name, str(version))
    try:
        lineage = read_lineage(tracker.client, found)
    except StoredObjectError as error:
        # For example a model from elsewhere: the verdict and the history say "not known".
        logger.warning("%s", error)
        lineage = None
    if lineage is None:
        return Learned(version, data_source=source_of(found.tags))
    request, source = lineage.data, data_source_of(lineage.files)
    if isinstance(request, TableRequest):
        digests = frozenset(file.digest for file in lineage.files)
        return Learned(version, frozenset(), digests, source, request)
    partitions = frozenset(map(str, (*request.split.train, *request.split.validation)))
    digests = frozenset(file.digest for file in lineage.files if file.partition in partitions)
    return Learned(version, partitions, digests, source)


@dataclass(frozen=True)
class DataSources:
    """Result of comparing the sources of a challenger and a champion.

    Parameters
    ----------
    check
        For the verdict.
    comparable
        Whether there is a champion, and it can be compared.
    remarks
        Remarks for the history and the mails.
    """

    check: Check
    comparable: bool = False
    remarks: tuple[str, ...] = ()


def compare_sources(
    ours: Learned, theirs: Learned | None, *, accept_generated: bool = False
) -> DataSources:
    """Decide whether a challenger may be compared with a champion, and may replace it.

    Parameters
    ----------
    ours, theirs
        Training data of challenger and champion; None where there is no champion.
    accept_generated
        Whether somebody has said that a model of generated rows may replace any other.
    """
    remarks: tuple[str, ...] = (ours.label,) if ours.generated else ()
    remarks += unknown_remarks({one.version: one.data_source for one in (ours, theirs) if one})
    if theirs is None:
        return DataSources(_check(ours.label, "any: there is no champion"), remarks=remarks)
    why = f"version {theirs.version} has learned from {theirs.label} and is not compared"
    if ours.generated and not theirs.generated:
        wanted = f"the champion's, or {ACCEPT_GENERATED} in the form"
        if accept_generated:
            told = f"{ours.label} accepted by {ACCEPT_GENERATED} in place of {theirs.label}"
            remarks = (told, why, *remarks[1:])
        check = _check(f"{ours.label}; {why}", wanted, passed=accept_generated)
        return DataSources(check, remarks=remarks)
    if theirs.generated and ours.published:
        return DataSources(
            _check(f"{ours.label}; {why}", "published data"), remarks=(why, *remarks)
        )
    return DataSources(_check(ours.label, "the champion's"), comparable=True, remarks=remarks)


def _check(found: str, wanted: str, *, passed: bool = True) -> Check:
    return Check("data source", passed, found, wanted)
