"""Fields of a run that are of the right types, and mean nothing: refused when it is triggered."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.definitions.param import ParamsDict

from model_loop.orchestration.forms import monitoring_form, sklearn_form
from model_loop.orchestration.forms.checks import find_mistakes
from model_loop.orchestration.forms.fields import FormFields
from trip_duration.dataset import TRIPS

FORMS: dict[str, FormFields] = {
    "training": sklearn_form(TRIPS),
    "monitoring": monitoring_form(TRIPS),
}
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("monitoring", {"thresholds": {"psy": [0.1, 0.2]}}, "'psy' is for an unknown metric.*psi"),
    ("monitoring", {"thresholds": {"psi": [0.3, 0.1]}}, "out of order"),
    ("monitoring", {"thresholds": {"psi": [0.1]}}, "not a pair of numbers"),
    ("monitoring", {"thresholds": {"psi": "x"}}, "not a pair of numbers"),
    ("training", {"accepted_findings": ["bad"]}, "names no partition and code"),
    ("training", {"minimum_duration": 99}, "are not a range"),
    ("training", {"maximum_duration": 0.5}, "are not a range"),
    ("training", {"minimum_duration": float("nan")}, "is not a number"),
    ("training", {"minimum_duration": float("inf")}, "is not a number"),
    ("training", {"random_state": 2**32}, "is refused: 4294967296 is greater than the maximum"),
]


@pytest.mark.parametrize(("form", "conf", "message"), WRONG, ids=str)
def test_what_a_task_would_refuse_is_refused_at_once(
    form: str, conf: dict[str, Any], message: str
) -> None:
    """The one who triggers hears of it, with the field, the rule and the remedy."""
    (mistake,) = find_mistakes(conf, ParamsDict(dict(FORMS[form])))
    (field,) = conf
    assert field in str(mistake)
    with pytest.raises(type(mistake), match=message):
        raise mistake


@pytest.mark.parametrize(
    ("form", "conf"),
    [
        ("monitoring", {"thresholds": {"psi": [0.1, 0.2]}}),
        ("monitoring", {"thresholds": None}),
        ("training", {"accepted_findings": ["2024-02 another_unit"]}),
        ("training", {"accepted_findings": None}),
        ("training", {"minimum_duration": 99, "maximum_duration": 120}),
    ],
    ids=str,
)
def test_what_means_something_is_taken(form: str, conf: dict[str, Any]) -> None:
    """Both bounds of a range are looked at together, as they were sent."""
    assert find_mistakes(conf, ParamsDict(dict(FORMS[form]))) == []
