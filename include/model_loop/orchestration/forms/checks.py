"""Errors in the fields of a submitted form, worded for the user.

Airflow takes fields that a form does not have, so that a misspelt one silently keeps its default;
and it refuses a value by quoting the whole schema of its field.
"""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

from model_loop.datasets.registry import datasets_in_python
from model_loop.errors import InvalidInputError
from model_loop.findings import Acceptance
from model_loop.monitoring.levels import thresholds_of
from model_loop.options import build, options_of
from model_loop.settings import get_settings
from model_loop.training_set.options import SplitShares

#: Longer lists of choices are counted, and the nearest are named.
_MOST_NAMED = 12
_NEAREST = 3
#: Least similarity of a field's name, and of a choice's label, to the submitted text.
_ALIKE, _ALIKE_LABEL = 0.6, 0.4
_MOST_CHARACTERS = 200


def find_mistakes(conf: Mapping[str, Any], form: Any) -> list[InvalidInputError]:  # noqa: ANN401 - Airflow's params: of its SDK, or as the server reads them
    """Return what is wrong with the fields of a run: unknown ones, and values that are refused.

    Parameters
    ----------
    conf
        Submitted fields.
    form
        The params of the DAG.
    """
    fields = [(name, form.get_param(name), value) for name, value in conf.items() if name in form]
    mistakes = [mistake for one in fields if (mistake := _refused(*one)) is not None]
    if not mistakes:
        # Values that the library would refuse later, in a task.
        mistakes = list(_broken_rules(conf, form))
    return [*unknown_fields(conf, form), *mistakes]


def _broken_rules(conf: Mapping[str, Any], form: Any) -> Iterator[InvalidInputError]:  # noqa: ANN401 - as above
    """Find values that are of the right types, and yet mean nothing."""

    def value(name: str) -> Any:  # noqa: ANN401 - any JSON
        return conf[name] if name in conf else form.get_param(name).value

    rules: tuple[tuple[tuple[str, ...], Callable[[Mapping[str, Any]], object]], ...] = (
        (("thresholds",), _thresholds),
        (("accepted_findings",), _acceptances),
        *((tuple(options_of(cls)), functools.partial(build, cls)) for cls in _rule_classes()),
    )
    for names, rule in rules:
        if not conf.keys() & {*names} or not all(name in form for name in names):
            continue
        try:
            rule({name: value(name) for name in names})
        except InvalidInputError as error:
            fields = " and ".join(names)
            yield InvalidInputError(f"Field {fields}: {error.given}", error.rule, error.remedy)


def _rule_classes() -> Iterator[type]:
    """Yield the classes of options that are checked as soon as a run is requested."""
    yield SplitShares
    for dataset in datasets_in_python():
        if cls := dataset.extensions.load("form_rules"):
            yield cast("type", cls)


def _thresholds(values: Mapping[str, Any]) -> object:
    return thresholds_of(get_settings(), values["thresholds"])


def _acceptances(values: Mapping[str, Any]) -> object:
    return [*map(Acceptance.parse, values["accepted_findings"] or ())]


def unknown_fields(conf: Iterable[str], form: Iterable[str]) -> Iterator[InvalidInputError]:
    """Find the fields that a form does not have, each with the nearest that it has."""
    names = sorted(form)
    for name in conf:
        if name not in names:
            near = _nearest(name, names)
            remedy = f"Did you mean {near[0]}?" if near else f"It has: {', '.join(names)}."
            yield InvalidInputError(f"Field {name}", "is not a field of this form", remedy)


def together(mistakes: list[InvalidInputError]) -> InvalidInputError:
    """Return several mistakes as one error."""
    if len(mistakes) == 1:
        return mistakes[0]
    said = " ".join(map(str, mistakes))
    return InvalidInputError("The form", f"has {len(mistakes)} mistakes", said)


def _refused(name: str, param: Any, value: Any) -> InvalidInputError | None:  # noqa: ANN401 - Airflow's Param, any JSON
    if isinstance(value, float) and not math.isfinite(value):
        # JSON has no such numbers; Python reads them, and no bound of a schema stops NaN.
        title = param.schema.get("title", name)
        return InvalidInputError(f"Field {name} ({value})", "is not a number", f"Give {title}.")
    validator = Draft202012Validator(param.schema, format_checker=FormatChecker())
    error = best_match(validator.iter_errors(value))
    if error is None:
        return None
    place = "".join(f"[{part}]" for part in error.absolute_path)
    if "enum" in error.schema:
        labels = param.schema.get("values_display") or {}
        given = f"Field {name}{place} ({_short(repr(error.instance))})"
        return InvalidInputError(given, *_choices(error.instance, error.schema["enum"], labels))
    rule = f"{error.validator}: {_short(str(error.validator_value))}"
    said = error.message if len(error.message) <= _MOST_CHARACTERS else f"it breaks the rule {rule}"
    help_text = param.description or "see the form."
    return InvalidInputError(
        f"Field {name}{place}",
        f"is refused: {said}",
        f"{param.schema.get('title', name)}: {help_text}",
    )


def _choices(value: Any, allowed: list[Any], labels: Mapping[str, str]) -> tuple[str, str]:  # noqa: ANN401 - any JSON
    """Return the rule, and the values that are allowed: all of a few, the nearest of many."""
    names = [str(one) for one in allowed]
    if len(names) <= _MOST_NAMED:
        return "is not one of its allowed values", f"Choose one of: {', '.join(names)}."
    # People type labels as well as numbers, so both are matched, and shown together.
    shown = {
        labels.get(name, name): f"{name}: {labels[name]}" if labels else name for name in names
    }
    near = _nearest(value, list(shown), _ALIKE_LABEL) if isinstance(value, str) else []
    choices = [shown[one] for one in near or list(shown)[:_NEAREST]]
    rule = f"is not one of its {len(names)} allowed values"
    return rule, f"{'The nearest are' if near else 'They begin with'}: {'; '.join(choices)}."


def _nearest(name: str, known: list[str], alike: float = _ALIKE) -> list[str]:
    return difflib.get_close_matches(name, known, _NEAREST, alike)


def _short(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} …"
