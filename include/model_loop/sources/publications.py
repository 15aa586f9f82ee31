"""Partitions that a source has published, and the changes since the last look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from model_loop.sources.cache import FileVersion

#: Name of a partition in state stores, whatever its length: there were months alone at first.
_PARTITION = "month"


@dataclass(frozen=True)
class Publication:
    """A partition as its source has it.

    Parameters
    ----------
    partition
        Key of the partition.
    version
        Version of its file.
    """

    partition: str
    version: FileVersion

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read the output of `to_json`."""
        version = {name: fields.get(name) for name in ("etag", "last_modified", "size")}
        return cls(fields[_PARTITION], FileVersion(**version))

    def to_json(self) -> dict[str, Any]:
        """Return plain values, for a state store."""
        return {_PARTITION: self.partition, **asdict(self.version)}


@dataclass(frozen=True)
class News:
    """A partition that was not there before, or is another file now."""

    publication: Publication
    kind: Literal["new", "republished"]

    def __str__(self) -> str:
        return f"{self.publication.partition} is {self.kind}"


@dataclass(frozen=True)
class Publications:
    """Publications of a source, partition by partition.

    Parameters
    ----------
    known
        Publications by the key of the partition.
    """

    known: Mapping[str, Publication]

    @classmethod
    def from_json(cls, entries: list[dict[str, Any]]) -> Self:
        """Read the output of `to_json`."""
        found = [Publication.from_json(entry) for entry in entries]
        return cls({one.partition: one for one in found})

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain values, for a state store, in the order of the partitions."""
        return [self.known[key].to_json() for key in sorted(self.known)]

    @property
    def newest(self) -> str | None:
        """Key of the latest partition; None where there is none."""
        return max(self.known, default=None)

    def of(self, keys: Iterable[str]) -> Publications:
        """Return those of some partitions."""
        return Publications({key: self.known[key] for key in keys if key in self.known})

    def updated(self, later: Publications) -> Publications:
        """Return these, with what is known *later* in their place."""
        return Publications({**self.known, **later.known})

    def news(self, later: Publications) -> list[News]:
        """Return the partitions that are new or different in *later*, in their order."""
        found = []
        for key in sorted(later.known):
            before = self.known.get(key)
            if before is None:
                found.append(News(later.known[key], "new"))
            elif not before.version.is_same(later.known[key].version):
                found.append(News(later.known[key], "republished"))
        return found
