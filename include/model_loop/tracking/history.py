"""The history of a service's versions: each action is a run of its own experiment."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping

from mlflow.entities import Run

from model_loop.datasets.dataset import Moment
from model_loop.errors import InvalidInputError
from model_loop.tracking.deployments import Deployment, HistoryEntry, log_once
from model_loop.tracking.shares import ShareMove, read_move
from model_loop.tracking.versions import ModelVersions

#: Tag of an entry: its moment, or that it is of all moments. Entries that were written before
#: moments were declared have none.
ENTRY_MOMENT_TAG = "moment"
EVERYWHERE = "all"

#: Kinds that make another version champion.
CROWNING = frozenset({"promote", "rollback"})
#: Runs that are fetched in one request.
_PAGE = 200


class History:
    """Reads what was done to the versions of one service, the latest first.

    Parameters
    ----------
    versions
        Versions of the history; their tracker's experiment holds it.
    """

    def __init__(self, versions: ModelVersions) -> None:
        self._versions = versions

    def entries(self, moment: Moment | None = None, most: int | None = None) -> list[HistoryEntry]:
        """Return the actions that were ended.

        Parameters
        ----------
        moment
            Leave out what was done at another moment.
        most
            Return no more than so many.
        """
        ended = (entry for _, entry in self.ended())
        wanted = (one for one in ended if moment is None or one.moment in {None, moment})
        return list(itertools.islice(wanted, most))

    def runs(self, condition: str = "") -> Iterator[Run]:
        """Yield the runs of all actions."""
        tracker, token = self._versions.tracker, None
        while True:
            found = tracker.client.search_runs(
                tracker.experiment_ids,
                f"tags.service = '{self._versions.service}' and tags.action != ''{condition}",
                order_by=["attributes.start_time DESC"],
                max_results=_PAGE,
                page_token=token,
            )
            yield from found
            token = found.token
            if not token:
                return

    def ended(self) -> Iterator[tuple[Run, HistoryEntry]]:
        """Yield the runs of the actions that were ended, each with its entry."""
        return self.begun(" and attributes.status = 'FINISHED'")

    def moves(self) -> list[ShareMove]:
        """Return what was moved by the actions that were ended, the latest first."""
        found = []
        for run, _ in self.ended():
            begun, ended = run.info.start_time / 1_000, run.info.end_time / 1_000
            if move := read_move(run.data.tags, begun, ended, run.info.run_id):
                found.append(move)
        return found

    def begun(self, condition: str = "") -> Iterator[tuple[Run, HistoryEntry]]:
        """Yield the runs of all actions, each with its entry.

        Somebody else's run in the same experiment, which is no entry, is passed over.
        """
        for run in self.runs(condition):
            try:
                entry = self.entry(run)
            except (KeyError, ValueError, InvalidInputError) as error:
                log_once(f"Run {run.info.run_id} is no entry of the history: {error!r}")
            else:
                yield run, entry

    def entry(self, run: Run) -> HistoryEntry:
        """Read the entry that a run holds."""
        tags = run.data.tags
        version = int(tags["version"]) if "version" in tags else None
        return HistoryEntry(
            kind=tags["action"],
            version=version,
            who=tags["who"],
            why=tags["why"],
            before=_standing("before", tags),
            after=_standing("after", tags),
            at=(run.info.end_time or run.info.start_time) / 1_000,
            run_id=run.info.run_id,
            moment=self._moment(tags.get(ENTRY_MOMENT_TAG), version),
            approver=tags.get("approver", ""),
            remarks=tags.get("remarks", ""),
        )

    def former_champions(self, moment: Moment, champion: int | None) -> list[int]:
        """Return the versions to go back to, the latest first; some may be retired by now.

        Parameters
        ----------
        champion
            The version that is champion now.
        """
        entries = self.entries(moment)
        found = replay(reversed(entries), lambda version: self._is_of(version, moment))
        if champion is not None:
            found = _on_top(found, champion)
        return [version for version in reversed(found) if version != champion]

    def _moment(self, told: str | None, version: int | None) -> Moment | None:
        if told is not None:
            return None if told == EVERYWHERE else self._versions.dataset.check_moment(told)
        if version is None:
            return None
        # Nothing is known of a version that was deleted since, or cannot be read.
        return self._versions.known_moment(version)

    def _is_of(self, version: int, moment: Moment) -> bool:
        return self._moment(None, version) in {None, moment}


def entry_tags(entry: HistoryEntry) -> dict[str, str]:
    """Return the tags that keep an entry."""
    return {
        "action": entry.kind,
        "who": entry.who,
        "why": entry.why,
        ENTRY_MOMENT_TAG: entry.moment or EVERYWHERE,
        **({"approver": entry.approver} if entry.approver else {}),
        **({"remarks": entry.remarks} if entry.remarks else {}),
        **({"version": str(entry.version)} if entry.version is not None else {}),
        **_standing_tags("before", entry.before),
        **_standing_tags("after", entry.after),
    }


def replay(entries: Iterable[HistoryEntry], is_ours: Callable[[int], bool]) -> list[int]:
    """Return the champions that nobody has gone back from, the present one last.

    Parameters
    ----------
    entries
        The earliest first.
    is_ours
        Whether a version is of the moment in question: older entries are of all moments.
    """
    stack: list[int] = []
    for entry in entries:
        was, now = entry.before.champion, entry.after.champion
        if entry.kind == "retire" and entry.version in stack:
            stack.remove(entry.version)
        if entry.kind not in CROWNING:
            continue
        back = entry.kind == "rollback"
        if was is not None and is_ours(was):
            # Somebody may have moved the alias by hand since the entry before.
            stack = _on_top(stack, was)[: -1 if back else None]
        if now is not None and is_ours(now):
            # Later versions than the one that was restored were rolled back as well.
            known = back and now in stack
            stack = stack[: stack.index(now) + 1] if known else _on_top(stack, now)
    return stack


def _on_top(stack: list[int], version: int) -> list[int]:
    return [*(one for one in stack if one != version), version]


def _standing_tags(when: str, standing: Deployment) -> dict[str, str]:
    return {
        f"{when}_{name}": str(value)
        for name, value in dataclasses.asdict(standing).items()
        if value is not None
    }


def _standing(when: str, tags: Mapping[str, str]) -> Deployment:
    def number(name: str) -> int | None:
        found = tags.get(f"{when}_{name}")
        return None if found is None else int(found)

    return Deployment(
        champion=number("champion"),
        challenger=number("challenger"),
        shadow=number("shadow"),
        share=float(tags[f"{when}_share"]),
        enabled=tags[f"{when}_enabled"] == "True",
    )
