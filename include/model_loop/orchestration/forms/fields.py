"""Fields that several forms have, and the sections that they stand in."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from airflow.sdk import Param

from model_loop.datasets.dataset import Dataset
from model_loop.options import Option, option_of_setting, options_of
from model_loop.orchestration.forms.completing import default_variant

FormFields = dict[str, Param]

#: A field `moment` that is left open.
ANY_MOMENT = "any"


class Section(StrEnum):
    """Headings of a form."""

    DATA = "Data"
    MODEL_INPUT = "Model inputs"
    SEARCH = "Search"
    TERMINATION = "Early termination"
    SELECTION = "Feature selection"
    MODELS = "Models"
    ACTION = "Action"
    GATE = "Gate"
    RETENTION = "Retention"
    MODEL = "Model"
    FILES = "Files"
    HOW = "How"
    WATCHED = "Windows"
    JUDGED = "Thresholds and actions"


def option_fields(cls: type, section: str, only: Iterable[str] = ()) -> FormFields:
    """Return a field for each option of a class of options, or for those that are named."""
    known = options_of(cls)
    return {name: option_field(known[name], section) for name in only or known}


def option_field(each: Option, section: str) -> Param:
    """Return the field of an option: its texts, bounds and choices, and the operator's default."""
    schema = each.schema()
    if schema["type"] == "array" and "minItems" not in schema:
        # An empty field of the form is null.
        schema["type"] = ["null", "array"]
    if each.choices:
        schema |= {"enum": list(each.choices), "values_display": dict(each.choices)}
    return Param(
        each.json_default(),
        title=each.title,
        description=each.description,
        section=section,
        **schema,
    )


def setting_field(setting: str, section: str, **texts: str) -> Param:
    """Return a field whose default, bounds and texts are those of a setting.

    Parameters
    ----------
    texts
        ``title`` and ``description`` in place of the setting's, where these would not fit.
    """
    return option_field(option_of_setting(setting, **texts), section)


def variant_fields(dataset: Dataset, section: str) -> FormFields:
    """Return the field that names a variant; none where there is only one."""
    if len(dataset.variants) == 1:
        return {}
    field = dataset.variant_field
    return {
        field.name: choice_field(
            default_variant(dataset),
            {key: variant.title for key, variant in dataset.variants.items()},
            field.title,
            field.description,
            section=section,
        )
    }


def moment_fields(dataset: Dataset, open_label: str, description: str, section: str) -> FormFields:
    """Return the field that names a moment; none where all recipes are asked at the same.

    Parameters
    ----------
    open_label
        Meaning of a field that is left open.
    """
    moments = [moment for moment in dataset.moments if moment in dataset.asked_at]
    if len(moments) == 1:
        return {}
    choices = {ANY_MOMENT: open_label, **{moment: moment for moment in moments}}
    return {"moment": choice_field(ANY_MOMENT, choices, "Moment", description, section=section)}


def version_field(section: str, left_empty: str) -> Param:
    """A number in the registry, and what it is where the field is left empty."""
    return Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Version",
        description=f"Number in the registry. Left empty, {left_empty}.",
        section=section,
    )


def choice_field(
    default: str,
    choices: dict[str, str],
    title: str,
    description: str,
    *,
    section: str = Section.SEARCH,
) -> Param:
    """One of some values, each with a title."""
    return Param(
        default,
        type="string",
        enum=list(choices),
        values_display=choices,
        title=title,
        description=description,
        section=section,
    )
