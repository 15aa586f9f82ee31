"""Forms about months and training sets."""

from __future__ import annotations

from airflow.sdk import Param

from model_loop.orchestration.forms.fields import Form, Section, months_field, service_field
from model_loop.settings import get_settings
from model_loop.training_set.recipes import DEFAULT_RECIPE, ENCODINGS, RECIPES


def source_form() -> Form:
    """The field that says where months come from."""
    return {
        "source": Param(
            get_settings().source,
            type="string",
            minLength=1,
            title="Source of the months",
            description="sample (generated trips), tlc (TLC's own site), or a folder, s3:// or "
            "https:// address that the operator has allowed.",
            section=Section.DATA,
        )
    }


def watch_form() -> Form:
    """Fields of the DAG that waits for months."""
    return {
        **source_form(),
        "service": service_field(Section.DATA),
        "poll_seconds": Param(
            get_settings().watch_poll_seconds,
            type="number",
            minimum=6,
            title="Seconds between looks",
            description="What is found has to be the same in two looks.",
            section=Section.DATA,
        ),
    }


def preparation_form() -> Form:
    """Fields of the DAG that prepares training sets."""
    return {
        **data_form(),
        "rebuild": Param(
            False,  # noqa: FBT003 - the default of a field
            type="boolean",
            title="Build again",
            description="Build the training set even if the source has not changed since the last "
            "time.",
            section=Section.DATA,
        ),
    }


def data_form() -> Form:
    """Fields of every DAG that needs a training set."""
    settings = get_settings()
    return {
        **source_form(),
        "service": service_field(Section.DATA),
        "train_months": months_field(
            settings.train_months, "Train months", "Months to learn from, one a line: 2024-01.", 1
        ),
        "validation_months": months_field(
            settings.validation_months,
            "Validation months",
            "Months to tune on. They follow the train months.",
            1,
        ),
        "test_months": months_field(
            settings.test_months,
            "Test months",
            "Months that tuning never sees; may be empty. They follow the validation months.",
            0,
        ),
        "minimum_duration": Param(
            settings.minimum_duration,
            type="number",
            minimum=0,
            title="Shortest trip (minutes)",
            description="Shorter trips are left out.",
            section=Section.DATA,
        ),
        "maximum_duration": Param(
            settings.maximum_duration,
            type="number",
            exclusiveMinimum=0,
            title="Longest trip (minutes)",
            description="Longer trips are left out.",
            section=Section.DATA,
        ),
        **acceptance_form(),
        **model_input_form(),
    }


def acceptance_form() -> Form:
    """Return the field that lets an operator overrule the comparison of months."""
    return {
        "accepted_findings": Param(
            [],
            type=["array", "null"],
            items={"type": "string", "minLength": 1},
            title="Accepted findings",
            description="Findings that refuse a month although it is right as it is, one a line: "
            "2024-02 another_unit. They are recorded with everything that is made of the month.",
            section=Section.DATA,
        )
    }


def model_input_form() -> Form:
    """Fields that say what a model may know, and in which form it gets it."""
    return {
        "recipe": Param(
            DEFAULT_RECIPE,
            type="string",
            enum=list(RECIPES),
            values_display={
                name: f"{name}: {recipe.title}; {recipe.asked}" for name, recipe in RECIPES.items()
            },
            title="Recipe",
            description="Which columns of a trip the model may know, and so from when on it can be "
            "asked.",
            section=Section.MODEL_INPUT,
        ),
        "encoding": Param(
            "native",
            type="string",
            enum=list(ENCODINGS),
            values_display={
                "native": "native: what suits each model family",
                "one_hot": "one_hot: the course's matrix, exactly",
            },
            title="Encoding",
            description="In which form the model gets them.",
            section=Section.MODEL_INPUT,
        ),
    }
