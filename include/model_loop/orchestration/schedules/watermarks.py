"""Watermarks of a source's partitions, announced and trained on: state of an asset.

Both survive every restart. *Announced* keeps a partition from being announced at every look;
*trained* is the watermark, and moves only when a retraining has succeeded.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from model_loop.datasets.dataset import Moment
from model_loop.datasets.registry import dataset_of_variant
from model_loop.objects.documents import UNREADABLE
from model_loop.orchestration.alerts.announcements import state_lost
from model_loop.orchestration.alerts.notifications import announce
from model_loop.partitions.keys import check_partition
from model_loop.sources.publications import Publications

logger = logging.getLogger(__name__)

_FORMAT = "watermarks/1"
#: Field of a partition that was trained on: the moments of the models that have learned from it.
_BY = "moments"
#: Names that states have had since there were months alone.
_ENTRIES, _KEY = "months", "month"


class StateStore(Protocol):
    """The part of Airflow's asset state store that is needed."""

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - any JSON
        """The value of a key."""

    def set(self, key: str, value: Any) -> None:  # noqa: ANN401 - any JSON
        """Keep a value."""


@dataclass(frozen=True)
class Watermarks:
    """The two states of one source of one variant.

    Parameters
    ----------
    store
        The state store of the asset of published partitions.
    variant, source
        Variant and source of the partitions.
    again_after
        Age at which announced partitions that were not trained on since are forgotten.
    """

    store: StateStore
    variant: str
    source: str
    again_after: dt.timedelta

    def trained(self, moment: Moment | None = None) -> Publications:
        """Return the partitions that were trained on, one by one.

        Parameters
        ----------
        moment
            Only by models that are asked at this moment. State that an older version of this
            package has kept names no moment, and counts for every one.
        """
        entries = self._read("trained")
        wanted = [
            entry for entry in entries if moment is None or moment in entry.get(_BY, self._moments)
        ]
        return _publications(wanted)

    def known(self) -> Publications:
        """Return the publications to leave out: trained on, or announced a short while ago."""
        return known(self._read("trained"), self._read("announced"), self.again_after)

    def state(self) -> dict[str, Any]:
        """Both as plain values, for `known`."""
        return {"trained": self._read("trained"), "announced": self._read("announced")}

    def announce(self, publications: Publications) -> None:
        """Remember what is announced now."""
        now = dt.datetime.now(tz=dt.UTC).isoformat()
        entries = {entry[_KEY]: entry for entry in self._read("announced")}
        entries |= {entry[_KEY]: {**entry, "at": now} for entry in publications.to_json()}
        self._write("announced", entries)

    def train(self, publications: Publications, moment: Moment) -> None:
        """Move the watermark of the models that are asked at a moment."""
        before = self._read("trained")
        entries = {entry[_KEY]: entry for entry in before}
        # The models of the other moments have not learned from what is published anew.
        others = _publications(before)
        for key, one in publications.known.items():
            same = key in others.known and others.known[key].version.is_same(one.version)
            by = entries[key].get(_BY, self._moments) if same else ()
            entries[key] = {**one.to_json(), _BY: sorted({*by, moment})}
        self._write("trained", entries)

    @property
    def _moments(self) -> tuple[Moment, ...]:
        return dataset_of_variant(self.variant).moments

    def _read(self, name: str) -> list[dict[str, Any]]:
        return _entries(read_state(self.store, self._key(name), [], self._check))

    def _write(self, name: str, entries: dict[str, dict[str, Any]]) -> None:
        ordered = [entries[key] for key in sorted(entries)]
        self.store.set(self._key(name), {"format": _FORMAT, _ENTRIES: ordered})

    def _check(self, stored: Any) -> None:  # noqa: ANN401 - any JSON
        dataset, entries = dataset_of_variant(self.variant), _entries(stored)
        for key in _publications(entries).known:
            check_partition(key, dataset)
        for entry in entries:
            if "at" in entry and dt.datetime.fromisoformat(entry["at"]).tzinfo is None:
                raise ValueError(f"{entry['at']} has no time zone")

    def _key(self, name: str) -> str:
        # An address may be longer than a key, and hold a login.
        return f"{name}:{self.variant}:{hashlib.sha256(self.source.encode()).hexdigest()[:12]}"


def read_state(
    store: StateStore,
    key: str,
    empty: Any,  # noqa: ANN401 - any JSON
    check: Callable[[Any], object],
) -> Any:  # noqa: ANN401 - any JSON
    """Read a state; one that cannot be read is kept under another key and told, and begins anew.

    Parameters
    ----------
    empty
        The state in the beginning.
    check
        Reads the state as its user will, and fails where that fails.
    """
    found = store.get(key, empty)
    try:
        check(found)
    except UNREADABLE as error:
        aside = f"{key}:unreadable"
        logger.error("The state %s cannot be read (%r): it begins anew", key, error)  # noqa: TRY400 - its form is wrong, not the code
        store.set(aside, found)
        store.set(key, empty)
        announce(state_lost(key, aside))
        return empty
    return found


def require_format(stored: Mapping[str, Any], expected: str) -> None:
    """Check that a state is of the format that is known.

    Raises
    ------
    ValueError
        If it is of another one.
    """
    if stored["format"] != expected:
        message = f"its format is {stored['format']!r}, and {expected!r} is known"
        raise ValueError(message)


def _entries(stored: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON
    # Versions before 0.2 have kept a list.
    if isinstance(stored, list):
        return stored
    require_format(stored, _FORMAT)
    entries: list[dict[str, Any]] = stored[_ENTRIES]
    return entries


def known(
    trained: list[dict[str, Any]], announced: list[dict[str, Any]], again_after: dt.timedelta
) -> Publications:
    """Return the publications that need no announcement at this moment."""
    limit = dt.datetime.now(tz=dt.UTC) - again_after
    fresh = [entry for entry in announced if dt.datetime.fromisoformat(entry["at"]) > limit]
    return _publications(trained).updated(_publications(fresh))


def _publications(entries: list[dict[str, Any]]) -> Publications:
    return Publications.from_json(entries)
