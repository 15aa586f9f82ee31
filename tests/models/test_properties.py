"""Rules of pruning, on whatever learning curves hypothesis thinks of."""

from __future__ import annotations

import math
from typing import get_args

from hypothesis import assume, given
from hypothesis import strategies as st

from model_loop.models.termination import EarlyTermination, Policy, Terminator

errors = st.floats(0.1, 100, allow_nan=False)
curves = st.lists(st.lists(errors, min_size=1, max_size=8), min_size=1, max_size=8)
rules = st.builds(
    EarlyTermination,
    policy=st.sampled_from(get_args(Policy)),
    evaluation_interval=st.integers(1, 3),
    delay_evaluations=st.integers(0, 4),
    slack_factor=st.floats(0, 1),
    slack_amount=st.one_of(st.just(0.0), st.floats(0.01, 5)),
    truncation_share=st.floats(0, 0.95),
)


def search(rule: EarlyTermination, given_curves: list[list[float]]) -> dict[int, tuple[int, bool]]:
    """Run trials one after another; return how far each came, and whether it went to its end."""
    terminator = Terminator(rule)
    ends = {}
    for number, curve in enumerate(given_curves):
        length = len(curve)
        for interval in range(1, len(curve)):
            terminator.add(number, curve[:interval])
            if terminator.reason(number, curve[:interval]):
                length = interval
                break
        pruned = length < len(curve)
        terminator.add(number, curve[:length], finished=not pruned)
        ends[number] = (length, not pruned)
    return ends


@given(rules, curves)
def test_some_trial_always_ends(rule: EarlyTermination, given_curves: list[list[float]]) -> None:
    """The first one has nothing to be compared with, and no rule prunes all."""
    ends = search(rule, given_curves)
    assert any(finished for _, finished in ends.values())
    assert ends[0][1]


@given(rules, curves)
def test_nobody_is_pruned_sooner_than_the_rule_says(
    rule: EarlyTermination, given_curves: list[list[float]]
) -> None:
    """After the delay, and only where the rule looks."""
    for length, finished in search(rule, given_curves).values():
        if not finished:
            assert length > rule.delay_evaluations
            assert (length - rule.delay_evaluations) % rule.evaluation_interval == 0
            first = Terminator(rule).first_look
            assert first is not None
            assert length >= first


@given(curves)
def test_without_a_policy_nobody_is_pruned(given_curves: list[list[float]]) -> None:
    """Every trial goes to its end."""
    assert all(finished for _, finished in search(EarlyTermination("none"), given_curves).values())


@given(rules, curves, st.data())
def test_what_is_best_so_far_is_not_pruned(
    rule: EarlyTermination, given_curves: list[list[float]], data: st.DataObject
) -> None:
    """A curve that is below all others at every interval goes on."""
    lengths = max(map(len, given_curves))
    lowest = min(min(curve) for curve in given_curves)
    best = data.draw(
        st.lists(st.floats(0, lowest / 2), min_size=lengths, max_size=lengths), "the best"
    )
    terminator = Terminator(rule)
    for number, curve in enumerate(given_curves):
        terminator.add(number, curve, finished=True)
    for interval in range(1, len(best) + 1):
        assert terminator.reason(len(given_curves), best[:interval]) is None


@given(st.floats(0, 0.95), st.lists(errors, min_size=2, max_size=20, unique=True))
def test_truncation_prunes_its_share_of_the_worst(share: float, last: list[float]) -> None:
    """No more than it says, and always the worst of them, in whatever order they come."""
    rule = EarlyTermination("truncation", delay_evaluations=0, truncation_share=share)
    terminator = Terminator(rule)
    for number, error in enumerate(last):
        terminator.add(number, [error])
    pruned = {error for number, error in enumerate(last) if terminator.compare(number, [error])}
    assert len(pruned) <= math.ceil(len(last) * share)
    assert pruned == set(sorted(last)[len(last) - len(pruned) :])
    assume(len(last) * share >= 1)
    assert len(pruned) >= math.floor(len(last) * share)
