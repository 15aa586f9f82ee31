"""Fields of a run that are of the right types, and mean nothing: refused when it is triggered."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.definitions.param import ParamsDict

from model_loop.datasets.registry import get_dataset
from model_loop.models.catalogue import SKLEARN_FAMILIES
from model_loop.options import build
from model_loop.orchestration.forms import data_form, monitoring_form, sklearn_form
from model_loop.orchestration.forms.checks import find_mistakes
from model_loop.orchestration.forms.fields import FormFields
from model_loop.orchestration.steps.training import choose_models
from model_loop.training_set.options import SplitShares, TableOptions
from trip_duration.dataset import TRIPS

TABLE = data_form(get_dataset("bikes"))
FORMS: dict[str, FormFields] = {
    "training": sklearn_form(TRIPS),
    "monitoring": monitoring_form(TRIPS),
    "table": TABLE,
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
    ("table", {"accepted_findings": ["bad"]}, "names no partition and code"),
    ("table", {"test_share": 0.3}, "shares 0.7, 0.15 and 0.3 .* do not add up to 1"),
    ("table", {"train_share": 0}, "is refused"),
    ("table", {"random_state": 2**32}, "is refused"),
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
        ("table", {"train_share": 0.6, "validation_share": 0.1, "test_share": 0.3}),
        ("table", {"partitions": None}),
    ],
    ids=str,
)
def test_what_means_something_is_taken(form: str, conf: dict[str, Any]) -> None:
    """Both bounds of a range are looked at together, as they were sent."""
    assert find_mistakes(conf, ParamsDict(dict(FORMS[form]))) == []


def test_families_of_a_declared_table_are_chosen() -> None:
    """Its form asks for no encoding."""
    form = sklearn_form(get_dataset("bikes"))
    params = {name: param.value for name, param in form.items()} | {"service": "bikes"}
    assert "encoding" not in params
    assert set(choose_models(params)) == set(SKLEARN_FAMILIES)


def test_a_form_of_a_declared_table_makes_its_options() -> None:
    """Untouched, it gives the defaults; what it asks for besides is the source and the recipe."""
    untouched = {name: param.value for name, param in TABLE.items()}
    assert build(TableOptions, untouched) == TableOptions()
    assert [*TABLE] == [
        "source",
        "partitions",
        "train_share",
        "validation_share",
        "test_share",
        "random_state",
        "accepted_findings",
    ]
    asked = build(TableOptions, {**untouched, "partitions": ["2011-01"], "random_state": 3})
    assert (asked.partitions, asked.random_state) == (("2011-01",), 3)
    assert SplitShares(0.6, 0.2, 0.2).of_parts == (0.6, 0.2, 0.0, 0.2)
