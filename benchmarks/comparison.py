"""Share of wrong decisions between two equal versions, if somebody looks every day.

Differences of days are those of the tests: two models of bikes, centred and drawn in blocks of
seven days, and series that are made up. The report's way beside a t-test that is read daily from
the first week on; and after how many days a difference is usually decided.
"""

from __future__ import annotations

import numpy as np
from benchmarks.results import record
from scipy import stats
from tests.serving.test_sequential import (
    BLOCK,
    WRONG,
    Days,
    autoregressive,
    daily_differences,
    replays,
    told_apart,
)

from model_loop.serving.comparison.sequential import days_needed

#: Replays of the t-test, which is slow.
_TESTED = 400
#: True differences, in deviations of the days.
_TRUE = (0.5, 1.0)


def main() -> None:
    """Print both, and keep them."""
    drawn = {
        "two models of bikes": replays(daily_differences()),
        "independent normal": autoregressive(0.0),
        "autoregressive, 0.3": autoregressive(0.3),
        "autoregressive, 0.5": autoregressive(0.5),
    }
    print("| | as the report does | by a t-test, daily |\n| --- | --- | --- |")
    for name, days in drawn.items():
        ours, plain = 100 * told_apart(days), 100 * _told_apart_by_tests(days[:_TESTED])
        record("comparison", name, {"as the report does, %": ours, "by a t-test, daily, %": plain})
        print(f"| {name} | {ours:.1f} % | {plain:.1f} % |", flush=True)
    for true in _TRUE:
        needed = days_needed(true, 1.0)
        record("comparison days", f"{true:g} deviations", {"decided after, days": needed or np.nan})
        print(f"A difference of {true:g} deviations is decided after {needed} days.")


def _told_apart_by_tests(drawn: list[Days]) -> float:
    """Return the share of replays that a t-test of the days so far finds different on any day."""
    looks = range(BLOCK, len(drawn[0]) + 1)
    found = [
        any(stats.ttest_1samp(days[:day], 0).pvalue < WRONG for day in looks) for days in drawn
    ]
    return float(np.mean(found))


if __name__ == "__main__":
    main()
