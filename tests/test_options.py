"""Options: declared once; the same in forms, commands, settings and requests."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from cyclopts import App, Parameter

from model_loop.cli.options import DataOptions, SearchOptions, arguments_of
from model_loop.errors import InvalidInputError
from model_loop.models.gate_rules import GateRules
from model_loop.models.search import SearchRequest
from model_loop.monitoring.performance import PerformanceRules
from model_loop.options import Lines, build, option, options, options_of, setting_option
from model_loop.orchestration.forms import (
    data_form,
    promotion_form,
    search_form,
)
from model_loop.orchestration.forms.fields import option_fields, setting_field
from model_loop.settings import Settings, get_settings
from model_loop.training_set.options import TableOptions
from model_loop.training_set.retention_rules import Retention
from trip_duration.cleaning_rules import CleaningRules
from trip_duration.dataset import TRIPS
from trip_duration.training_set.request import TrainingSetRequest

CLASSES = (
    SearchRequest,
    TrainingSetRequest,
    TableOptions,
    GateRules,
    CleaningRules,
    Retention,
    PerformanceRules,
)


@options
class Inner:
    """A part of the request below."""

    method: Literal["fast", "slow"] = option(
        "fast", "Method", "How.", name="inner_method", choices={"fast": "Fast", "slow": "Slow"}
    )


@options
class Outer:
    """A request, as a module of the package would declare it."""

    count: int = option(3, "Count", "How many.", ge=1, le=10)
    share: float = option(0.5, "Share", "Which part.", gt=0, lt=1)
    names: Lines = option((), "Names", "Which.")
    evaluations: int = setting_option("max_evaluations")
    threads: int = setting_option("xgboost_threads", offered=False)
    inner: Inner = field(default_factory=Inner)
    seed: int = 7


@Parameter(name="*")
@dataclass(frozen=True)
class Arguments(arguments_of(Outer)):  # type: ignore[misc]  # made of options
    """The arguments that a command takes for it."""


_ARGUMENTS = Arguments()


def test_a_request_is_made_of_flat_values() -> None:
    """Parts are found by the names of their options; what is absent has its default."""
    made = build(Outer, {"inner_method": "slow", "names": ["a"], "unknown": 1}, seed=8)
    assert made == Outer(names=("a",), inner=Inner("slow"), seed=8)
    assert build(Outer, {"names": None}).names == ()


def test_defaults_are_those_of_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting is the default of its option, and decides where callers may not choose."""
    monkeypatch.setenv("MODEL_LOOP_MAX_EVALUATIONS", "20")
    monkeypatch.setenv("MODEL_LOOP_XGBOOST_THREADS", "5")
    get_settings.cache_clear()
    try:
        made = build(Outer, {"threads": 64})
        form = option_fields(Outer, "A section")
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    assert (made.evaluations, made.threads) == (20, 5)
    assert form["evaluations"].value == 20
    assert "threads" not in form


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"count": 0}, "count = 0 is out of bounds. Give 1 or more."),
        ({"count": 11}, "count = 11 is out of bounds. Give 10 or less."),
        ({"share": 0.0}, "share = 0.0 is out of bounds. Give more than 0."),
        ({"share": 1.0}, "share = 1.0 is out of bounds. Give less than 1."),
        ({"share": math.nan}, "share = nan is refused"),
        ({"count": "three"}, "count = 'three' is refused"),
        ({"inner_method": "x"}, "inner_method = 'x' is unknown. Choose one of: fast, slow."),
    ],
)
def test_what_an_option_does_not_take_is_refused(values: dict[str, Any], words: str) -> None:
    """The error names the option as the caller does, the rule, and the remedy."""
    with pytest.raises(InvalidInputError) as refused:
        build(Outer, values)
    assert str(refused.value).startswith(words)


def test_bounds_hold_in_python_too() -> None:
    """Whoever makes the request directly, or replaces a field, is checked the same."""
    with pytest.raises(InvalidInputError, match="count = 0"):
        Outer(count=0)
    with pytest.raises(InvalidInputError, match="count = 99"):
        dataclasses.replace(Outer(), count=99)


def test_a_form_says_what_its_option_says() -> None:
    """Type, bounds, choices, texts and default of a field come from the option."""
    form = option_fields(Outer, "A section")
    assert form["count"].schema == {
        "type": "integer",
        "minimum": 1,
        "maximum": 10,
        "title": "Count",
        "section": "A section",
    }
    assert (form["count"].value, form["count"].description) == (3, "How many.")
    assert form["share"].schema["exclusiveMinimum"] == 0
    assert form["share"].schema["exclusiveMaximum"] == 1
    assert form["inner_method"].schema["enum"] == ["fast", "slow"]
    assert form["inner_method"].schema["values_display"] == {"fast": "Fast", "slow": "Slow"}
    assert form["names"].schema["type"] == ["null", "array"]


def test_a_command_takes_what_its_option_takes() -> None:
    """The command line has an argument for each option, with its help text."""
    app, seen = App(), []

    @app.default
    def command(*, values: Arguments = _ARGUMENTS) -> None:
        seen.append(build(Outer, vars(values)))

    app("--count 4 --inner-method slow", result_action="return_value")
    assert seen == [Outer(count=4, inner=Inner("slow"))]


def test_forms_and_commands_offer_the_same() -> None:
    """Every option of a request is in its form and on the command line, under one name."""
    for cls, form, command in (
        (SearchRequest, search_form(TRIPS), SearchOptions()),
        (TrainingSetRequest, data_form(TRIPS), DataOptions()),
    ):
        names = {*options_of(cls)}
        assert names == {*form}
        assert names - {"service"} <= vars(command).keys()
    assert options_of(GateRules).keys() <= promotion_form(TRIPS).keys()


def test_forms_make_the_request_that_python_makes() -> None:
    """What a form holds untouched is the request with its defaults."""
    params = {
        name: param.value for name, param in {**data_form(TRIPS), **search_form(TRIPS)}.items()
    }
    assert build(SearchRequest, params) == SearchRequest()
    expected = TrainingSetRequest()
    assert build(TrainingSetRequest, params).rules == expected.rules
    assert build(TrainingSetRequest, params).recipe == expected.recipe


@pytest.mark.parametrize("cls", CLASSES)
def test_every_option_explains_itself(cls: type) -> None:
    """A title begins with a capital; a description is one or more sentences."""
    for name, each in options_of(cls).items():
        assert each.title[0].isupper(), name
        assert each.description.endswith("."), name
        assert not each.choices or each.default in each.choices, name


@pytest.mark.parametrize("setting", ["max_age_seconds", "watch_poll_seconds", "cooldown_hours"])
def test_a_field_of_a_setting_has_its_bounds(setting: str) -> None:
    """A form refuses what the operator's own setting could not be."""
    schema = setting_field(setting, "A section").schema
    declared = Settings.model_fields[setting]
    (bound,) = (getattr(limit, "ge", None) for limit in declared.metadata)
    assert schema["minimum"] == bound
    assert schema["title"] == declared.title
