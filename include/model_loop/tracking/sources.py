"""Rules for replacing one version by another, by the sources of their training data."""

from __future__ import annotations

from collections.abc import Mapping

from model_loop.errors import InvalidInputError
from model_loop.sources.allowed import named_sources
from model_loop.sources.origin import is_generated, source_label
from model_loop.tracking.versions import ModelVersions

#: Field of the forms that lets a model of generated rows replace one of published rows.
ACCEPT_GENERATED = "accept_generated_data"
#: Tag of a version: what all of its data are.
SOURCE_TAG = "data_source"
#: Kinds of sources that have an address.
_ADDRESSED = ("folder", "https", "s3")


def source_of(tags: Mapping[str, str]) -> str:
    """Return the data source of a version by its tags; empty where they do not tell."""
    return tags.get(SOURCE_TAG, "")


def label_of(data_source: str) -> str:
    """Return the words for a data source that may not be known."""
    return source_label(data_source) if data_source else "data of unknown source"


def is_known(data_source: str) -> bool:
    """Return whether a tag names sources that data have; others may hold anything."""
    return bool(data_source) and {*data_source.split(",")} <= {*named_sources(), *_ADDRESSED}


def unknown_remarks(sources: Mapping[int, str]) -> tuple[str, ...]:
    """Return what is to be said of versions, by number, whose data source nobody knows."""
    return tuple(
        f"not known from which source version {version} has learned"
        for version, data_source in sources.items()
        if not is_known(data_source)
    )


def replacement_remarks(
    versions: ModelVersions, version: int, champion: int | None, *, accept_generated: bool
) -> tuple[str, ...]:
    """Return what is to be said of a version that is to answer; nothing for published data.

    Of a version whose source nobody knows, such as one from elsewhere, that is said.

    It becomes champion, or answers beside the champion as canary or shadow.

    Raises
    ------
    InvalidInputError
        If it has learned from generated rows, the champion has not, and that is not accepted.
    """
    ours = source_of(versions.find(version).tags)
    if not is_generated(ours):
        return unknown_remarks({version: ours})
    theirs = ours if champion is None else source_of(versions.find(champion).tags)
    if is_generated(theirs):
        return (label_of(ours),)
    if not accept_generated:
        raise InvalidInputError(
            f"Version {version}",
            f"has learned from {label_of(ours)}, and champion version {champion} from "
            f"{label_of(theirs)}",
            f"If generated data are meant to take its place or to answer beside it, set "
            f"{ACCEPT_GENERATED} in the form; otherwise name a version of published data.",
        )
    return (f"{label_of(ours)} accepted by {ACCEPT_GENERATED} in place of {label_of(theirs)}",)
