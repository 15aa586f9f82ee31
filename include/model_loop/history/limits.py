"""Limits of the distance from history: a person looks beyond one, and another one refuses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HistoryLimits:
    """Bounds that hold whatever history has learned; what varies more in history may vary more.

    Each is a share from 0 to 1 unless it says otherwise. They were set with some of the kinds of
    damage in docs/damaged-months.md, and judged by the others.

    Parameters
    ----------
    number_shift, category_shift, hour_shift
        Rows that would have to change for a column, or the profile of the day, to be as before,
        beyond chance; a warning.
    spread
        So many times the variation between the weeks and months of history is allowed as well.
    replaced
        As the shift, but nothing is left of what the column was: refused.
    rare, rare_refused
        Rows with values that history hardly ever has.
    vanished, vanished_refused
        Rows of history whose values no longer occur.
    beyond_refused
        The same two of a number that is computed from several columns, or of what the other
        columns leave of one: good reasons may move it far.
    atom, atom_refused
        Rows more than in history that share one and the same value.
    grain, grain_refused
        Rows more than in history whose number is whole, or whose time is a whole minute.
    missing
        Missing values more than in history.
    broken
        Rows more than in history that break a rule of the contract.
    weaker, weaker_refused
        Share of itself that the correlation between two columns may lose.
    effect, effect_refused
        Share of itself that the effect of one column on another may lose.
    class_share
        Share of itself by which the share of a class may differ beyond what varies; a warning.
    explained, explained_refused
        Rows that a named cause has altered.
    coverage, coverage_refused
        Rows that would belong into hours without any.
    thin
        Rows that days with far fewer rows than history has would need.
    late_days, late_days_refused
        Rows whose hour of the week is that of another day.
    moved, moved_refused
        Share of itself by which the median of a ratio may move that nothing should move.
    copied, copied_refused
        Rows that an earlier partition holds already, at another time.
    fewer, fewer_refused, more
        Rows a day as a multiple of those of history.
    fewer_on_days
        The same of a partition of less than a week: one day may well have half of the rows.
    """

    number_shift: float = 0.04
    category_shift: float = 0.05
    hour_shift: float = 0.04
    spread: float = 2.5
    replaced: float = 0.6
    rare: float = 0.006
    rare_refused: float = 0.25
    vanished: float = 0.02
    vanished_refused: float = 0.2
    beyond_refused: float = 0.5
    atom: float = 0.03
    atom_refused: float = 0.2
    grain: float = 0.05
    grain_refused: float = 0.4
    missing: float = 0.1
    broken: float = 0.005
    weaker: float = 0.08
    weaker_refused: float = 0.3
    effect: float = 0.3
    effect_refused: float = 0.7
    class_share: float = 0.1
    explained: float = 0.03
    explained_refused: float = 0.2
    coverage: float = 0.01
    coverage_refused: float = 0.05
    thin: float = 0.04
    late_days: float = 0.33
    late_days_refused: float = 0.6
    moved: float = 0.04
    moved_refused: float = 0.12
    copied: float = 0.02
    copied_refused: float = 0.2
    fewer: float = 0.65
    fewer_refused: float = 0.02
    fewer_on_days: float = 0.5
    more: float = 2.0
