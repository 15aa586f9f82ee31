"""Changes that a move writes into the registry.

Each move writes what it changes and nothing else, so that two of them that happen at the same time
do not undo each other: a service that is disabled while a version is promoted stays disabled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from mlflow.exceptions import MlflowException

from model_loop.datasets.dataset import Moment
from model_loop.tracking.actions import SWITCHES
from model_loop.tracking.deployments import (
    DISABLED_TAG,
    PARTS,
    RETIRED_TAG,
    HistoryEntry,
    alias_of,
    disabled_tag,
    share_tag,
)
from model_loop.tracking.versions import ModelVersions


def move(versions: ModelVersions, entry: HistoryEntry) -> None:
    """Make the registry what an entry says; doing it again changes nothing."""
    switch = entry.kind in SWITCHES
    if switch:
        # Before any version is looked at: it moves none.
        _switch(versions, entry)
    _name_by_moment(versions)
    if not switch and entry.moment is not None:
        _set_parts(versions, entry, entry.moment)
    if entry.kind == "retire":
        versions.tracker.client.set_model_version_tag(
            versions.name, str(entry.version), RETIRED_TAG, entry.why
        )


def _set_parts(versions: ModelVersions, entry: HistoryEntry, moment: Moment) -> None:
    client, name, before, after = versions.tracker.client, versions.name, entry.before, entry.after
    moments = versions.dataset.moments
    share = share_tag(moment, moments)
    # No version may answer a larger share than was meant for it, at no time.
    raised = before.challenger not in {None, after.challenger} and after.share > before.share
    if after.share != before.share and after.challenger is not None and not raised:
        client.set_registered_model_tag(name, share, str(after.share))
    # The champion first: at no time is there none.
    for part in PARTS:
        version = getattr(after, part)
        if version == getattr(before, part):
            continue
        if version is not None:
            client.set_registered_model_alias(name, alias_of(part, moment, moments), str(version))
        else:
            client.delete_registered_model_alias(name, alias_of(part, moment, moments))
    if raised:
        client.set_registered_model_tag(name, share, str(after.share))
    if before.challenger is not None and after.challenger is None:
        client.set_registered_model_tag(name, share, "0.0")


def _switch(versions: ModelVersions, entry: HistoryEntry) -> None:
    """Disable or enable one moment, or all of them."""
    client, name, reason = versions.tracker.client, versions.name, entry.why or "disabled"
    if entry.kind == "disable":
        tag = DISABLED_TAG if entry.moment is None else disabled_tag(entry.moment)
        client.set_registered_model_tag(name, tag, reason)
        return
    tags = client.get_registered_model(name).tags
    if entry.moment is not None and DISABLED_TAG in tags:
        # The others stay as they are.
        for other in set(versions.dataset.moments) - {entry.moment}:
            client.set_registered_model_tag(name, disabled_tag(other), tags[DISABLED_TAG])
    enabled = versions.dataset.moments if entry.moment is None else (entry.moment,)
    gone = [tag for tag in (*map(disabled_tag, enabled), DISABLED_TAG) if tag in tags]
    if len(gone) > 1 and DISABLED_TAG not in gone:
        # It goes last, so that all of them answer again at once.
        client.set_registered_model_tag(name, DISABLED_TAG, tags[gone[0]])
        gone.append(DISABLED_TAG)
    for tag in gone:
        _allow_absent(functools.partial(client.delete_registered_model_tag, name, tag))


def _name_by_moment(versions: ModelVersions) -> None:
    """Give the aliases that an older version of this package has set the names of their moments."""
    client, name, moments = versions.tracker.client, versions.name, versions.dataset.moments
    aliases = client.get_registered_model(name).aliases
    for part in PARTS:
        plain = alias_of(part, moments[0], moments)
        if plain not in aliases:
            continue
        moment = versions.known_moment(int(aliases[plain]))
        if moment is None or moment == moments[0]:
            # Versions of others stay where they are.
            continue
        own = alias_of(part, moment, moments)
        if own not in aliases:
            if part == "challenger":
                first = share_tag(moments[0], moments)
                share = client.get_registered_model(name).tags.get(first, "0.0")
                client.set_registered_model_tag(name, share_tag(moment, moments), share)
            client.set_registered_model_alias(name, own, str(aliases[plain]))
        client.delete_registered_model_alias(name, plain)


def _allow_absent(delete: Callable[[], None]) -> None:
    """Delete what another move may have deleted already."""
    try:
        delete()
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
