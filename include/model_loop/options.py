"""Options: values that a caller may choose, each declared once.

A class of options (`options`) is a frozen dataclass that pydantic checks. Each field (`option`)
says its title, description, bounds, choices and default. Trigger forms, the command line, the
checks of the REST API and the reference are derived from that, and so is the request itself, from
the flat values of a form or of a command (`build`). An option that an operator may set takes all of
it from the setting (`setting_option`).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar, cast, dataclass_transform, get_args

import pydantic
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from model_loop.errors import InvalidInputError, ModelLoopError
from model_loop.settings import all_settings, get_settings

Choices = Mapping[str, str]
_T = TypeVar("_T")
#: Keys of a field's JSON schema beside pydantic's own.
_NAME, _CHOICES, _SETTING, _OFFERED = "x-option", "x-choices", "x-setting", "x-offered"
#: Default in Python, where it is not that of the setting.
_OWN = "x-own-default"

_BOUNDS = {
    "greater_than": ("gt", "more than {}"),
    "greater_than_equal": ("ge", "{} or more"),
    "less_than": ("lt", "less than {}"),
    "less_than_equal": ("le", "{} or less"),
}

#: Lines of text; an empty field of a form is null.
Lines = Annotated[
    tuple[str, ...], BeforeValidator(lambda lines: () if lines is None else tuple(lines))
]


class _Options(Protocol):
    """A class of options, as pydantic makes it."""

    __pydantic_fields__: Mapping[str, FieldInfo]


def option(
    default: Any,  # noqa: ANN401 - of the field's own type
    title: str,
    description: str,
    *,
    name: str = "",
    choices: Choices | None = None,
    offered: bool = True,
    **bounds: float,
) -> Any:  # noqa: ANN401 - as `dataclasses.field`
    """Declare one option.

    Parameters
    ----------
    default
        Value where a caller gives none.
    title, description
        Label and help text, the same everywhere.
    name
        Name in forms and on the command line, where it is not the field's.
    choices
        Values that it takes, each with a label.
    offered
        Whether callers may choose it; otherwise it is for Python alone.
    bounds
        ``ge``, ``gt``, ``le``, ``lt``, as of `pydantic.Field`.
    """
    extra = {_NAME: name, _CHOICES: dict(choices or {}), _OFFERED: offered}
    return Field(
        default=default,
        title=title,
        description=description,
        json_schema_extra=cast("Any", extra),
        **cast("Any", bounds),
    )


def setting_option(
    setting: str,
    *,
    default: Any = None,  # noqa: ANN401 - of the field's own type
    name: str = "",
    choices: Choices | None = None,
    title: str = "",
    description: str = "",
    offered: bool = True,
) -> Any:  # noqa: ANN401 - as `dataclasses.field`
    """Declare an option whose bounds, texts and default are those of a setting.

    Parameters
    ----------
    setting
        Name of the setting.
    default
        Value where Python code gives none, if it is not the setting's.
    name, choices
        Arguments of `option`.
    title, description
        Replacements of the setting's title and description.
    offered
        Whether callers may choose it; otherwise the setting decides.
    """
    field = copy.copy(all_settings().model_fields[setting])
    extra = {_NAME: name, _CHOICES: dict(choices or {}), _SETTING: setting, _OFFERED: offered}
    extra[_OWN] = default
    if default is None:
        default = field.get_default(call_default_factory=False)
    made = Field(
        default=default,
        title=title or field.title,
        description=description or field.description,
        json_schema_extra=cast("Any", extra),
    )
    made.metadata = list(field.metadata)
    return made


@dataclass_transform(frozen_default=True)
def options(cls: type[_T]) -> type[_T]:
    """Make a class of options: a frozen dataclass that refuses what its fields do not take.

    Raises
    ------
    InvalidInputError
        When it is made of a value that its field does not take; it names the option.
    """
    config = ConfigDict(allow_inf_nan=False, validate_default=True)
    made = pydantic.dataclasses.dataclass(frozen=True, config=config)(cls)
    check = made.__init__

    def __init__(self: Any, *values: Any, **named: Any) -> None:  # noqa: ANN401, N807 - any value, by its own name
        try:
            check(self, *values, **named)
        except ValidationError as error:
            raise _refusal(made, error) from None

    made.__init__ = __init__  # type: ignore[method-assign]  # errors are raised in the words of the package
    return cast("type[_T]", made)


@dataclass(frozen=True)
class Option:
    """One option of a class, as callers see it.

    Parameters
    ----------
    name
        Name in forms and on the command line.
    attribute
        Name of the field.
    field
        Its declaration.
    """

    name: str
    attribute: str
    field: FieldInfo

    @property
    def title(self) -> str:
        """Title of the option in forms."""
        return str(self.field.title)

    @property
    def description(self) -> str:
        """Help text of the option, for forms and commands."""
        return str(self.field.description)

    @property
    def choices(self) -> Choices:
        """Values that it takes with their labels; empty where it takes others, too."""
        named = self._extra.get(_CHOICES) or {}
        return named or {str(value): str(value) for value in _literals(self.field.annotation)}

    @property
    def setting(self) -> str | None:
        """Name of the setting that its default comes from."""
        return cast("str | None", self._extra.get(_SETTING))

    @property
    def offered(self) -> bool:
        """True if callers may choose it."""
        return bool(self._extra.get(_OFFERED, True))

    @property
    def default(self) -> Any:  # noqa: ANN401 - of the field's own type
        """Value where a caller gives none, as the operator has set it."""
        if self.setting:
            return getattr(get_settings(), self.setting)
        return self.field.get_default(call_default_factory=True)

    @property
    def python_default(self) -> Any:  # noqa: ANN401 - of the field's own type
        """Value where Python code gives none: the setting's, unless the option has its own."""
        own = self._extra.get(_OWN)
        return self.default if own is None else own

    def json_default(self) -> Any:  # noqa: ANN401 - any JSON
        """Return the default as JSON.

        Raises
        ------
        InvalidInputError
            If the option does not take the operator's setting.
        """
        try:
            value = TypeAdapter(self.type).validate_python(self.default)
        except ValidationError as error:
            raise _cause(error) or error from None
        if isinstance(value, tuple):
            return [each if isinstance(each, int | float) else str(each) for each in value]
        return value

    @property
    def type(self) -> Any:  # noqa: ANN401 - any annotation
        """Annotation of the field, with its bounds."""
        kind: Any = self.field.annotation
        for condition in self.field.metadata:
            kind = Annotated[kind, condition]
        return kind

    def schema(self) -> dict[str, Any]:
        """JSON schema of its values: type and bounds."""
        return TypeAdapter(self.type).json_schema()

    @property
    def _extra(self) -> Mapping[str, Any]:
        return cast("Mapping[str, Any]", self.field.json_schema_extra or {})


def options_of(cls: type) -> dict[str, Option]:
    """Return all options of a class by their names, those of its parts among them."""
    return {each.name: each for each in _walk(cls) if each.offered}


def option_of_setting(setting: str, *, title: str = "", description: str = "") -> Option:
    """Return an option that no class has: a setting that a caller may replace for one run."""
    field = setting_option(setting, title=title, description=description)
    field.annotation = all_settings().model_fields[setting].annotation
    return Option(setting, setting, field)


def build(cls: type[_T], values: Mapping[str, Any], **given: Any) -> _T:  # noqa: ANN401 - of the fields' own types
    """Make a request of the flat values of a form or of a command.

    Parameters
    ----------
    cls
        Class of options.
    values
        Values by the names of options. Others are ignored, and an absent one, as in a form of an
        earlier version, has its default.
    given
        Fields that are no options, or that take precedence, by their attributes.

    Raises
    ------
    InvalidInputError
        If a value is not one that its option takes.
    """
    arguments = dict(given)
    for attribute, field in _fields(cls).items():
        if attribute in given:
            continue
        if _is_options(field.annotation):
            arguments[attribute] = build(cast("Any", field.annotation), values)
        elif field.title is not None:
            each = _option(attribute, field)
            chosen = each.offered and each.name in values
            arguments[attribute] = values[each.name] if chosen else each.default
    return cls(**arguments)


def _walk(cls: type) -> Iterator[Option]:
    for attribute, field in _fields(cls).items():
        if _is_options(field.annotation):
            yield from _walk(cast("type", field.annotation))
        elif field.title is not None:
            yield _option(attribute, field)


def _option(attribute: str, field: FieldInfo) -> Option:
    extra = cast("Mapping[str, Any]", field.json_schema_extra or {})
    return Option(str(extra.get(_NAME) or attribute), attribute, field)


def _fields(cls: type) -> Mapping[str, FieldInfo]:
    return cast("type[_Options]", cls).__pydantic_fields__


def _is_options(kind: object) -> bool:
    return dataclasses.is_dataclass(kind) and hasattr(kind, "__pydantic_fields__")


def _literals(kind: Any) -> tuple[object, ...]:  # noqa: ANN401 - any annotation
    origin = getattr(kind, "__origin__", None)
    return get_args(kind) if str(origin) == "typing.Literal" else ()


def _refusal(cls: type, error: ValidationError) -> ModelLoopError:
    """Return the first of pydantic's errors in the words of the package."""
    if cause := _cause(error):
        return cause
    first = error.errors()[0]
    attribute = first["loc"][0] if first["loc"] else ""
    if isinstance(attribute, int):
        attribute = [*_fields(cls)][attribute]
    field = _fields(cls).get(attribute)
    name = _option(attribute, field).name if field else attribute
    given = f"{name} = {first['input']!r}"
    if first["type"] in _BOUNDS:
        bound, words = _BOUNDS[first["type"]]
        limit = words.format(first["ctx"][bound])
        return InvalidInputError(given, "is out of bounds", f"Give {limit}.")
    if first["type"] == "literal_error" and field:
        known = ", ".join(map(str, _literals(field.annotation)))
        return InvalidInputError(given, "is unknown", f"Choose one of: {known}.")
    remedy = f"{field.title}: {field.description}" if field and field.title else "Correct it."
    return InvalidInputError(given, f"is refused: {first['msg']}", remedy)


def _cause(error: ValidationError) -> ModelLoopError | None:
    """Return the error of the package that a check has raised, if it was one."""
    cause = error.errors()[0].get("ctx", {}).get("error")
    return cause if isinstance(cause, ModelLoopError) else None
