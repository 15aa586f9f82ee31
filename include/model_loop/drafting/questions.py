"""Questions that the rows leave open, each with a default and the option that answers it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from model_loop.datasets.declaration import REQUEST
from model_loop.drafting.analysis import Analysis, DraftedFiles
from model_loop.drafting.answers import NONE, DraftAnswers
from model_loop.drafting.text import name_of

#: Columns that the question about moments names before it says how many more there are.
_LISTED = 30
#: Questions at most.
MOST_QUESTIONS = 10


@dataclass(frozen=True)
class Question:
    """A question for a person.

    Parameters
    ----------
    field
        Field of `DraftAnswers` that it fills.
    text
        The question.
    default
        Answer if none is given; empty if that is none.
    option
        Option of the command that answers it.
    several
        Whether the answer is a list with commas.
    """

    field: str
    text: str
    default: str
    option: str
    several: bool = False

    def answered(self, answers: DraftAnswers, given: str) -> DraftAnswers:
        """Return answers with this one among them."""
        text = given.strip() or self.default
        names = tuple(each.strip() for each in text.split(",") if each.strip())
        changed: dict[str, Any] = {self.field: names if self.several else text or None}
        return dataclasses.replace(answers, **changed)


def questions(files: DraftedFiles, analysis: Analysis, answers: DraftAnswers) -> Iterator[Question]:
    """Yield what is worth asking and has no answer yet."""
    if answers.name is None:
        name = name_of(files.pattern.stem, "table")
        yield Question("name", "Name of the dataset, which never changes", name, "--name")
    if answers.unit is None and not analysis.classes:
        text = f"Unit of {analysis.target.name}, as people write it"
        yield Question("unit", text, analysis.target.read_as.unit, "--unit")
    times = [each.name for each in analysis.table.features if each.is_dated]
    if answers.time_column is None and len(times) > 1:
        default = analysis.time.name if analysis.time else NONE
        text = f"Time of a row: {', '.join(times)}, or {NONE}"
        yield Question("time_column", text, default, "--time-column")
    if analysis.time is not None and answers.time_zone is None:
        yield Question("time_zone", "Time zone of the place", "UTC", "--time-zone")
    if answers.group_on is None and analysis.entity is not None and not answers.shuffle:
        anew = analysis.repeated is not None and analysis.repeated.anew
        default = analysis.entity.name if anew and analysis.time is None else NONE
        text = f"Entity whose rows stay together: {analysis.entity.name}, or {NONE}"
        yield Question("group_on", text, default, "--group-on")
    if not answers.known_later and not answers.known_at_request:
        yield from _moments(analysis)
    if answers.owner is None:
        yield Question("owner", "Who is mailed about failures", "", "--owner")


def _moments(analysis: Analysis) -> Iterator[Question]:
    found = analysis.suspicions
    listed = ", ".join(f"{name} {found.scores[name].rank:.2f}" for name in found.ranked[:_LISTED])
    more = len(found.ranked) - _LISTED
    yield Question(
        "known_later",
        f"Columns known only after {analysis.target.name} is to be predicted. Those that say most "
        f"about it first: {listed}{f' and {more} more' if more > 0 else ''}",
        ", ".join(found.by_name),
        "--known-later",
        several=True,
    )
    if found.by_name:
        yield Question(
            "known_at_request",
            f"Of {', '.join(found.by_name)}, those that are known at the moment {REQUEST}",
            "",
            "--known-at-request",
            several=True,
        )
