"""Changes between two declarations of a dataset, and what each of them invalidates."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from model_loop.datasets.declaration import Declaration

_Path = tuple[str, ...]
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Effect(IntEnum):
    """The most that a change invalidates; each includes those before it."""

    #: Training sets and models stay as they are.
    NOTHING = 0
    #: Rows or values are others: training sets are built again.
    TRAINING_SET = 1
    #: Requests, or the meaning of an answer, are others: the champion cannot answer by it.
    CONTRACT = 2

    @property
    def text(self) -> str:
        """The effect in words."""
        return ("nothing", "the training set", "the champion's contract")[self]


@dataclass(frozen=True)
class Change:
    """A key of the declaration whose value is another one.

    Parameters
    ----------
    key
        Key with those of the tables around it, such as ``columns.dep_delay.known``.
    before, after
        Values, as JSON; None where there was, or is, none.
    effect
        The most that it invalidates.
    """

    key: str
    before: Any
    after: Any
    effect: Effect

    def to_json(self) -> dict[str, Any]:
        """Convert to plain JSON."""
        return {**asdict(self), "effect": self.effect.text}


#: Effects by key; the longest beginning that fits counts, ``*`` is any one key. Any other change
#: is of rows or values.
_EFFECTS: Mapping[str, Effect] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                *("title", "description", "status", "owner", "schedule", "source", "slices"),
                *(
                    "accepted",
                    "labels_after",
                    "label_keys",
                    "variants.*.title",
                    "variants.*.source",
                ),
                *("recipes.*.title", "rules.*.message", "columns.*.title", "columns.*.description"),
                *("columns.*.unit", "columns.*.example", "columns.*.group_report"),
            ),
            Effect.NOTHING,
        ),
        # Probabilities stay; the next model answers from another one on.
        **dict.fromkeys(("task.threshold", "task.cost"), Effect.TRAINING_SET),
        **dict.fromkeys(
            (
                *("name", "target", "task", "moments", "recipes", "variants", "time.time_zone"),
                *("columns.*.type", "columns.*.known", "columns.*.field", "columns.*.aliases"),
            ),
            Effect.CONTRACT,
        ),
    }
)


def digest_of(declaration: Declaration) -> str:
    """Return the digest of what a declaration says of rows, requests and answers.

    Keys whose change invalidates nothing, such as titles and the owner, are not part of it.
    """
    said = {
        _shown(path): value
        for path, value in _leaves(_content(declaration))
        if _effect(path) > Effect.NOTHING
    }
    text = json.dumps(said, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def changes_between(before: Declaration, after: Declaration) -> tuple[Change, ...]:
    """Return the keys whose values differ, those that invalidate most first."""
    old, new = dict(_leaves(_content(before))), dict(_leaves(_content(after)))
    changed = [
        Change(_shown(path), old.get(path), new.get(path), _effect(path))
        for path in dict.fromkeys((*old, *new))
        if old.get(path) != new.get(path)
    ]
    return tuple(sorted(changed, key=lambda change: -change.effect))


def effect_of(changes: tuple[Change, ...]) -> Effect:
    """Return the most that some changes invalidate."""
    return max((change.effect for change in changes), default=Effect.NOTHING)


def _content(declaration: Declaration) -> dict[str, Any]:
    content: dict[str, Any] = declaration.model_dump(mode="json", exclude_defaults=True)
    # Rules are identified by their names, whatever their order.
    content["rules"] = {rule["name"]: rule for rule in content.get("rules", ())}
    return content


def _leaves(content: Mapping[str, Any], before: _Path = ()) -> Iterator[tuple[_Path, Any]]:
    for key, value in content.items():
        path = (*before, key)
        if not isinstance(value, Mapping):
            yield path, value
        elif value:
            yield from _leaves(value, path)
        elif before:
            # A table that says nothing still declares its column.
            yield path, True


def _shown(path: _Path) -> str:
    """Return a key as TOML has it: ``columns."unit.price".type``."""
    return ".".join(
        each if _BARE.fullmatch(each) else json.dumps(each, ensure_ascii=False) for each in path
    )


def _effect(path: _Path) -> Effect:
    """Return the effect of the longest beginning of a key that has one."""
    for length in range(len(path), 0, -1):
        exact, pattern = path[:length], (path[0], "*", *path[2:length])
        for key in (".".join(exact), ".".join(pattern) if length > 1 else ""):
            if key in _EFFECTS:
                return _EFFECTS[key]
    return Effect.TRAINING_SET
