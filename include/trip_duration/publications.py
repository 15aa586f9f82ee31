"""Months that a source has published, and the changes since the last look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from model_loop.sources.kept import FileVersion
from trip_duration.months import Month


@dataclass(frozen=True)
class Publication:
    """A month as its source has it.

    Parameters
    ----------
    month
        The month.
    version
        Version of the file.
    """

    month: Month
    version: FileVersion

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read the output of `to_json`."""
        version = {name: fields.get(name) for name in ("etag", "last_modified", "size")}
        return cls(Month.parse(fields["month"]), FileVersion(**version))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a state store."""
        return {"month": str(self.month), **asdict(self.version)}


@dataclass(frozen=True)
class News:
    """A month that was not there before, or is another file now."""

    publication: Publication
    kind: Literal["new", "republished"]

    def __str__(self) -> str:
        return f"{self.publication.month} is {self.kind}"


@dataclass(frozen=True)
class Publications:
    """Publications of a source, month by month.

    Parameters
    ----------
    known
        Publications by month.
    """

    known: Mapping[Month, Publication]

    @classmethod
    def from_json(cls, entries: list[dict[str, Any]]) -> Self:
        """Read the output of `to_json`."""
        found = [Publication.from_json(entry) for entry in entries]
        return cls({one.month: one for one in found})

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values, for a state store, in the order of the months."""
        return [self.known[month].to_json() for month in sorted(self.known)]

    @property
    def newest(self) -> Month | None:
        """The latest month; None where there is none."""
        return max(self.known, default=None)

    def of(self, months: tuple[Month, ...]) -> Publications:
        """Those of some months."""
        return Publications({month: self.known[month] for month in months if month in self.known})

    def updated(self, later: Publications) -> Publications:
        """These, with what is known *later* in their place."""
        return Publications({**self.known, **later.known})

    def news(self, later: Publications) -> list[News]:
        """Return the months that are new or different in *later*, in their order."""
        found = []
        for month in sorted(later.known):
            before = self.known.get(month)
            if before is None:
                found.append(News(later.known[month], "new"))
            elif not before.version.is_same(later.known[month].version):
                found.append(News(later.known[month], "republished"))
        return found
