"""Questions that the rows leave open, each with a default and the option that answers it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from model_loop.drafting.analysis import Analysis, DraftedFiles
from model_loop.drafting.answers import NONE, DateOrder, DraftAnswers
from model_loop.drafting.clocks import UTC, offsets_of
from model_loop.drafting.draft import open_clocks
from model_loop.drafting.kinds import date_order_of
from model_loop.drafting.text import name_of
from model_loop.drafting.values import ColumnValues

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
    evidence
        Evidence of the rows, as a sentence; empty if there is none.
    scores
        Columns that may be named, with their scores, those with the highest first.
    """

    field: str
    text: str
    default: str
    option: str
    several: bool = False
    evidence: str = ""
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)

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
    ambiguous = [each.name for each in analysis.table.columns.values() if _is_ambiguous_date(each)]
    if ambiguous and answers.date_order is None:
        listed, orders = ", ".join(ambiguous), " or ".join(get_args(DateOrder))
        text = f"Order of day and month in the dates of {listed}: {orders}"
        order = date_order_of(analysis.column(ambiguous[0]).read_as.time_format)
        yield Question("date_order", text, order, "--date-order")
    yield from _about_target(analysis, answers)
    times = [each.name for each in analysis.table.features if each.is_dated]
    if answers.time_column is None and len(times) > 1:
        default = analysis.time.name if analysis.time else NONE
        text = f"Time of a row: {', '.join(times)}, or {NONE}"
        yield Question("time_column", text, default, "--time-column")
    if analysis.time is not None and answers.time_zone is None:
        text = "Time zone of the place, such as Europe/Berlin"
        offsets = offsets_of(analysis.time, files.raw)
        default, evidence = (offsets.time_zone, offsets.described) if offsets else (UTC, "")
        yield Question("time_zone", text, default, "--time-zone", evidence=evidence)
    clocks = open_clocks(files, analysis, answers)
    if clocks is not None and answers.stored_in is None:
        text = f"Clocks of {clocks.column}: {UTC}, or those of {clocks.time_zone}"
        yield Question("stored_in", text, clocks.default, "--stored-in", evidence=clocks.described)
    if answers.group_on is None and analysis.entity is not None and not answers.shuffle:
        anew = analysis.repeated is not None and analysis.repeated.anew
        default = analysis.entity.name if anew and analysis.time is None else NONE
        text = f"Entity whose rows stay together: {analysis.entity.name}, or {NONE}"
        yield Question("group_on", text, default, "--group-on")
    if not answers.known_later and not answers.known_at_request:
        yield from _moments(analysis)
    if answers.owner is None:
        yield Question("owner", "Address for mails about failures", "", "--owner")


def _is_ambiguous_date(column: ColumnValues) -> bool:
    return column.kind == "time" and bool(column.alternatives)


def _about_target(analysis: Analysis, answers: DraftAnswers) -> Iterator[Question]:
    if answers.task is None and analysis.is_doubtful:
        target = analysis.drawn_from.outcome
        text = f"Is {target.name} a number (regression) or a class (multiclass)?"
        evidence = f"It has {target.distinct} different whole numbers."
        yield Question("task", text, analysis.task, "--task", evidence=evidence)
    if answers.positive_class is None and analysis.positive is not None:
        shares = " or ".join(map(str, analysis.shares))
        text = f"Class of {analysis.target.name} whose probability is predicted: {shares}"
        yield Question("positive_class", text, analysis.positive.label, "--positive-class")
    if answers.unit is None and not analysis.classes:
        text = f"Unit of {analysis.target.name}, as people write it"
        yield Question("unit", text, analysis.target.read_as.unit, "--unit")


def _moments(analysis: Analysis) -> Iterator[Question]:
    found = analysis.suspicions
    yield Question(
        "known_later",
        f"Which columns are known only after {analysis.target.name} is to be predicted?",
        ", ".join(found.by_name),
        "--known-later",
        several=True,
        evidence="By how much each says of it; separate several by commas.",
        scores={name: found.scores[name].rank for name in found.ranked},
    )
    if found.by_name:
        yield Question(
            "known_at_request",
            f"Which of {', '.join(found.by_name)} are known when a prediction is asked for?",
            "",
            "--known-at-request",
            several=True,
        )
