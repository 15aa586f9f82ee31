"""Rules by which trials are pruned."""

from __future__ import annotations

import pytest

from model_loop.errors import InvalidInputError
from model_loop.models.termination import EarlyTermination, Terminator


def terminator(rule: EarlyTermination, *curves: tuple[float, ...]) -> Terminator:
    """One that has seen some curves."""
    watching = Terminator(rule)
    for number, curve in enumerate(curves):
        watching.add(number, curve)
    return watching


def stops_at(watching: Terminator, curve: tuple[float, ...]) -> int | None:
    """The interval (from 1) at which a trial is pruned."""
    for interval in range(1, len(curve) + 1):
        if watching.reason(len(curve) + 100, curve[:interval]):
            return interval
    return None


def rule(policy: str, **changes: float) -> EarlyTermination:
    """A policy that looks from the first interval on."""
    return EarlyTermination(**{"policy": policy, "delay_evaluations": 0, **changes})  # type: ignore[arg-type]  # by name


def test_no_policy_gives_nothing_up() -> None:
    """Without a policy every trial ends by itself."""
    assert stops_at(terminator(rule("none"), (1.0, 1.0)), (9.0, 9.0)) is None


def test_bandit_allows_slack() -> None:
    """A trial goes on while it is within the slack of the best at the same interval."""
    watching = terminator(rule("bandit", slack_factor=0.2), (10.0, 8.0, 5.0), (9.0, 9.0, 9.0))
    assert stops_at(watching, (10.8, 9.6, 6.0)) is None
    assert stops_at(watching, (10.8, 9.7, 6.0)) == 2
    assert stops_at(watching, (10.9,)) == 1


def test_bandit_takes_an_amount() -> None:
    """An amount in minutes is used in place of the factor."""
    watching = terminator(rule("bandit", slack_amount=0.5), (10.0, 8.0))
    assert stops_at(watching, (10.5, 8.5)) is None
    assert stops_at(watching, (10.5, 8.6)) == 2


def test_bandit_looks_at_the_best_so_far() -> None:
    """A setback is forgiven: the best error up to the interval counts."""
    watching = terminator(rule("bandit", slack_factor=0.1), (10.0, 9.0))
    assert stops_at(watching, (9.5, 50.0)) is None


def test_median_compares_with_running_averages() -> None:
    """The best so far has to be better than the median of the averages up to the interval."""
    curves = ((10.0, 6.0), (12.0, 8.0), (14.0, 10.0))
    watching = terminator(rule("median"), *curves)
    assert stops_at(watching, (12.0, 10.0)) is None  # the medians are 12 and 10
    assert stops_at(watching, (12.0, 10.1)) == 2
    assert stops_at(watching, (12.1,)) == 1


def test_median_needs_some_curves() -> None:
    """Of one or two trials nothing is concluded."""
    assert stops_at(terminator(rule("median"), (1.0,), (1.0,)), (9.0,)) is None


def test_truncation_gives_up_the_worst_share() -> None:
    """With a third truncated, the worst of three goes, and the second stays."""
    watching = terminator(rule("truncation", truncation_share=0.33), (5.0,), (7.0,), (9.0,))
    assert stops_at(watching, (10.0,)) == 1
    assert stops_at(watching, (8.0,)) is None


def test_truncation_waits_for_enough_trials() -> None:
    """A tenth of three trials is none."""
    watching = terminator(rule("truncation", truncation_share=0.1), (5.0,), (7.0,))
    assert stops_at(watching, (10.0,)) is None


def test_interval_and_delay() -> None:
    """Trials are looked at every so many intervals, after the delay."""
    slow = (9.0,) * 12
    watching = terminator(rule("bandit", delay_evaluations=4, evaluation_interval=3), (1.0,) * 12)
    assert stops_at(watching, slow) == 7


def test_short_curves_count_to_their_end() -> None:
    """A trial that ended sooner is compared by all that it has shown."""
    assert stops_at(terminator(rule("bandit"), (2.0,)), (2.1, 2.1, 2.1)) is None
    assert stops_at(terminator(rule("bandit"), (1.0,)), (1.1, 1.2, 2.1)) is None


def test_of_equals_the_earlier_goes_on() -> None:
    """Trials that are compared with each other never give one another up, all of them."""
    curves = ((5.0,),) * 5
    watching = terminator(rule("truncation", truncation_share=0.8), *curves)
    kept = [number for number, curve in enumerate(curves) if not watching.reason(number, curve)]
    assert kept == [0]


def test_what_was_given_up_is_not_compared_with_twice() -> None:
    """At a later interval only trials that came as far count, and those that have ended."""
    watching = terminator(rule("truncation"), (9.0,), (8.0,), (5.0, 4.0, 3.0))
    assert watching.reason(3, (7.0,)) is None  # one of three is better
    assert watching.reason(3, (7.0, 6.0))  # the only one that came as far
    watching.add(1, (8.0,), finished=True)
    assert watching.reason(3, (7.0, 6.0)) is None  # one of two is


def test_projections_count_by_their_last_point() -> None:
    """What a fit was expected to come to at first no longer matters."""
    watching = Terminator(rule("bandit", slack_factor=0.1), projected=True)
    watching.add(0, (3.0, 9.0, 5.0))
    assert watching.reason(1, (9.0, 9.5)) is None
    assert watching.reason(1, (9.0, 2.0, 5.4)) is None
    assert watching.reason(1, (3.0, 2.0, 5.6))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policy": "hope"}, "'hope' is unknown.*none, bandit, median, truncation"),
        ({"evaluation_interval": 0}, "evaluation_interval = 0"),
        ({"delay_evaluations": -1}, "delay_evaluations = -1"),
        ({"slack_factor": -0.1}, r"slack_factor = -0\.1"),
        ({"truncation_share": 1.5}, r"truncation_share = 1\.5"),
    ],
)
def test_bounds(changes: dict[str, object], message: str) -> None:
    """A rule that cannot be is refused by the name of the field."""
    with pytest.raises(InvalidInputError, match=message):
        EarlyTermination(**changes)  # type: ignore[arg-type]  # wrong on purpose


def test_a_reason_tells_its_figures() -> None:
    """Policy, error, what was allowed, and after which interval."""
    bandit = terminator(rule("bandit", slack_factor=0.2), (10.0, 8.0), (9.0, 9.0))
    assert bandit.reason(9, (10.8, 9.7)) == "bandit: 9.700, allowed are 9.600, after interval 2"
    median = terminator(rule("median"), (10.0,), (12.0,), (14.0,))
    assert median.reason(9, (12.5,)) == "median: 12.500, the median is 12.000, after interval 1"
    truncation = terminator(rule("truncation"), (5.0,), (7.0,), (9.0,))
    told = "truncation: 8.000, 2 of 3 others were better after interval 1"
    assert truncation.reason(9, (8.0,)) == told
    assert truncation.compare(9, (8.0,)) == told


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ({"policy": "none"}, None),
        ({"policy": "bandit"}, 6),
        ({"policy": "median", "delay_evaluations": 0}, 1),
        ({"policy": "truncation", "delay_evaluations": 2, "evaluation_interval": 4}, 6),
    ],
)
def test_the_first_look(given: dict[str, object], first: int | None) -> None:
    """After the delay and one interval; without a policy there is none."""
    watching = Terminator(EarlyTermination(**given))  # type: ignore[arg-type]  # by name
    assert watching.first_look == first
    for number in range(3):
        watching.add(number, (1.0,) * 20)
    looks = [length for length in range(1, 15) if watching.reason(9, (9.0,) * length)]
    assert looks[:1] == ([] if first is None else [first])


def test_bounds_themselves_are_allowed() -> None:
    """Of each field of a rule."""
    made = EarlyTermination("bandit", 1, 0, 0.0, 0.0, 0.95)
    assert made.truncation_share == 0.95
    assert EarlyTermination(truncation_share=0.0).truncation_share == 0.0
    with pytest.raises(InvalidInputError, match=r"truncation_share = 0\.96"):
        EarlyTermination(truncation_share=0.96)
    with pytest.raises(InvalidInputError, match=r"slack_amount = -0\.5"):
        EarlyTermination(slack_amount=-0.5)
    # Without slack, an error that equals the best goes on.
    watching = terminator(rule("bandit", slack_factor=0.0), (5.0,))
    assert watching.reason(9, (5.0,)) is None
    assert watching.reason(9, (5.001,))


def test_a_trial_is_not_compared_with_itself() -> None:
    """Nor with one that has shown nothing, which is none."""
    watching = terminator(rule("bandit"), (1.0,), ())
    assert watching.reason(0, (9.0,)) is None
    assert watching.reason(1, (9.0,))
    alone = terminator(rule("truncation", truncation_share=0.95), ())
    assert alone.reason(1, (9.0,)) is None
    # What was added later counts in the place of what was before.
    watching.add(0, (8.5,))
    assert watching.reason(1, (9.0,)) is None
