"""Columns that may give the target away: exact relations by name, all others in one question.

No statistic tells a leak from a good column. So what can be proven on the rows is raised by name,
and every other column is listed once, in the order of how much it says, for a person to judge.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from model_loop.drafting.relations import ExactRelation, find_relations, said_by_presence
from model_loop.drafting.scores import Score, score_columns
from model_loop.drafting.sources import WHOLE
from model_loop.drafting.values import ColumnValues, TableValues
from model_loop.findings import Finding

#: Scores from which a column is raised by name: as good as the target, and its gaps as good as it.
_AS_GOOD, _SAME_GAPS, _GAPS_SAY = 0.97, 0.9, 0.9
#: Columns that the question about all of them names in its text.
_LISTED = 20
#: Average precision from which a column that finds a rare class is raised by name: sound columns
#: find common classes as well, and hardly ever rare ones.
_FINDS_RARE = 0.7
_LATER = 'Set known to the moment from which it is known: "later", if that is after the prediction.'


@dataclass(frozen=True)
class RankedColumn:
    """A column in the list of the question about all columns.

    Parameters
    ----------
    score
        Share of the target that it says, from 0 to 1: the highest of those of `Score`.
    raised
        Whether a finding names it.
    """

    name: str
    score: float
    raised: bool


@dataclass(frozen=True)
class RankedFinding(Finding):
    """The question about all columns, with the list as data.

    Parameters
    ----------
    columns
        Columns, those that say most about the target first.
    """

    columns: tuple[RankedColumn, ...] = ()


@dataclass(frozen=True)
class Suspicions:
    """Evidence of leaks in the rows.

    Parameters
    ----------
    relations
        Exact relations with the target.
    scores
        Score of each column.
    ranked
        Names of the columns, those that say most about the target first.
    by_name
        Columns that were raised, each with the reason.
    """

    relations: tuple[ExactRelation, ...]
    scores: Mapping[str, Score]
    ranked: tuple[str, ...]
    by_name: Mapping[str, str]

    def settled_by(self, later: Collection[str]) -> set[str]:
        """Return the columns of relations that give nothing away once some are known later."""
        settled, left = set[str](), set[str]()
        for relation in self.relations:
            (settled if {*relation.columns} & {*later} else left).update(relation.columns)
        return settled - left


def suspicions(table: TableValues, *, classes: bool) -> Suspicions:
    """Return the columns of a table that may give the target away."""
    target, columns = table.outcome, table.features
    relations = find_relations(columns, target, classes=classes)
    scores = score_columns(columns, target, classes=classes)
    by_name = {name: relation.formula for relation in relations for name in relation.columns}
    for column in columns:
        reason = _reason(column, target, scores[column.name])
        if reason and column.name not in by_name:
            by_name[column.name] = reason
    for relation in relations:
        if relation.code == "target_copy":
            name = relation.columns[0]
            scores[name] = dataclasses.replace(scores[name], alone=1.0)
    ranked = sorted(scores, key=lambda name: scores[name].rank, reverse=True)
    return Suspicions(tuple(relations), scores, tuple(ranked), by_name)


def _reason(column: ColumnValues, target: ColumnValues, score: Score) -> str | None:
    if score.absent >= _SAME_GAPS:
        both = int((~column.present & ~target.present).sum())
        return (
            f"in {both:,} of the {target.missing:,} rows without {target.name}, "
            f"{column.name} is missing, too"
        )
    if score.absent_value >= _GAPS_SAY:
        return f"the presence of {column.name} alone says {score.absent_value:.0%} of {target.name}"
    if column.missing and (said := said_by_presence(column, target)):
        return said
    if score.alone >= _AS_GOOD:
        return f"{column.name} alone says {score.alone:.0%} of {target.name}"
    if score.ranking >= _FINDS_RARE:
        return (
            f"{column.name} alone finds the rare class of {target.name}: an average precision of "
            f"{score.ranking:.0%}, where chance is 0% and no mistake 100%"
        )
    return None


def leak_findings(
    suspicions: Suspicions, target: str, settled: Collection[str], *, without: Collection[str] = ()
) -> Iterator[Finding]:
    """Yield a finding for each relation and suspicion, and the one question about all columns.

    Parameters
    ----------
    settled
        Columns whose moment was given. The question is asked while one of them is not.
    without
        Columns that are known later, and need no finding any more.
    """
    for relation in suspicions.relations:
        names = ", ".join(relation.columns)
        share = "" if relation.share > 0.99995 else f" in {relation.share:.2%} of the rows"  # noqa: PLR2004 - shown as 100 %
        for name in relation.columns:
            # Without one of its columns, an equation gives nothing away.
            if not {*relation.columns} & {*without}:
                message = f"{names}: {relation.formula}{share}."
                remedy = f"A model would only repeat it. {_LATER}"
                yield Finding(relation.code, name, WHOLE, "warning", message, remedy)
    related = {name for relation in suspicions.relations for name in relation.columns}
    for name, reason in suspicions.by_name.items():
        if name not in related and name not in without:
            # A name stays as it is, also at the beginning.
            message = f"{reason if reason.startswith(name) else _sentence(reason)}."
            yield Finding("leak_suspected", name, WHOLE, "warning", message, _LATER)
    if not {*suspicions.ranked} <= {*settled}:
        columns = tuple(
            RankedColumn(name, round(suspicions.scores[name].rank, 4), name in suspicions.by_name)
            for name in suspicions.ranked
        )
        listed = ", ".join(f"{each.name} ({each.score:.2f})" for each in columns[:_LISTED])
        more = f" and {len(columns) - _LISTED:,} more" if len(columns) > _LISTED else ""
        yield RankedFinding(
            "leak_suspected",
            None,
            WHOLE,
            "warning",
            f"Which columns are known only after {target} is to be predicted? Those that say most "
            f"about it first: {listed}{more}.",
            'Set known = "later" in their tables, or give --known-later COLUMN for each.',
            columns,
        )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] if text[:1].islower() and " " in text else text
