"""The reference of DAGs, form fields, model families and settings, written from the code."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from pydantic_core import PydanticUndefined

from model_loop.datasets.dataset import Dataset
from model_loop.datasets.registry import get_dataset
from model_loop.datasets.stubs import is_stub
from model_loop.models.catalogue import CLASSIFIERS, FAMILIES, ModelFamily
from model_loop.orchestration.names import job_of
from model_loop.settings import ENVIRONMENT_PREFIX, all_settings

_DAGS = Path(__file__).resolve().parents[3] / "dags"

_KINDS = {
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "object": "a JSON object",
    "string": "text",
}

#: Longer lists of choices are counted.
_MOST_NAMED = 20

_HEADER = """\
# Reference

Written from the code by `make docs`; a test fails when it is stale.
"""


def reference() -> str:
    """Return the page, as Markdown."""
    parts = [_HEADER, *_dags(), _recipes(), _families(), _settings()]
    return "\n".join(parts)


def main() -> None:
    """Write the page into the file that is named on the command line."""
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")


def _dags() -> Iterator[str]:
    bag = DagBag(dag_folder=str(_DAGS), bundle_path=_DAGS, bundle_name="reference")
    yield "## DAGs\n"
    # DAGs of one job have most fields alike: each is described once.
    described: dict[tuple[str, ...], str] = {}
    for dag_id in sorted(bag.dags, key=lambda name: ("__" in name, name)):
        dag, job = bag.dags[dag_id], job_of(dag_id)
        yield f"### `{dag_id}`\n\n{dag.description}\n"
        yield f"Tasks: {', '.join(f'`{task.task_id}`' for task in _ordered(dag))}.\n"
        rows, as_in = [], dict[str, list[str]]()
        for name in dag.params:
            row = _field(name, dag.params.get_param(name))
            if (first := described.setdefault((job, *row), dag_id)) == dag_id:
                rows.append(row)
            else:
                as_in.setdefault(first, []).append(f"`{name}`")
        for first, names in as_in.items():
            yield f"As in `{first}`: {', '.join(names)}.\n"
        if rows:
            yield _table(("Field", "Title", "What it is", "Takes", "Default"), rows)


def _ordered(dag: Any) -> Any:  # noqa: ANN401 - Airflow does not annotate it
    return dag.topological_sort()


def _field(name: str, param: Any) -> tuple[str, ...]:  # noqa: ANN401 - Airflow's Param
    schema = param.schema
    return (
        f"`{name}`",
        schema["title"],
        param.description,
        _takes(schema),
        _code(param.value),
    )


def _takes(schema: dict[str, Any]) -> str:
    """Describe the values that a field takes."""
    if "array" in schema["type"]:
        return f"a list: {_items(schema['items'])}"
    if len(schema.get("enum", ())) > _MOST_NAMED:
        return f"one of {len(schema['enum'])}"
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    bounds = {
        "minimum": "at least {}",
        "exclusiveMinimum": "more than {}",
        "maximum": "at most {}",
    }
    words = [text.format(schema[name]) for name, text in bounds.items() if name in schema]
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    (kind,) = (_KINDS[one] for one in types if one != "null")
    empty = ["or nothing"] if "null" in types else []
    return ", ".join([kind, *words, *empty])


def _items(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "pattern" in schema:
        return "partitions"
    return "JSON objects" if schema["type"] == "object" else "text"


def _datasets() -> list[Dataset]:
    """Return the datasets that this package brings, in the order of their names."""
    return [get_dataset(path.stem) for path in sorted(_DAGS.glob("*.py")) if is_stub(path)]


def _recipes() -> str:
    rows = (
        (
            f"`{dataset.name}`",
            f"`{recipe.name}`" + (" (default)" if recipe.name == dataset.default_recipe else ""),
            recipe.title,
            f"`{recipe.moment}`: {recipe.asked}",
            ", ".join(f"`{column}`" for column in recipe.columns),
        )
        for dataset in _datasets()
        for recipe in dataset.recipes.values()
    )
    return "## Recipes\n\n" + _table(
        ("Dataset", "Recipe", "The model may know", "Moment", "Columns"), rows
    )


def _families() -> str:
    scale = (
        "`s` is the power of ten next to a tenth of the standard deviation of the train targets: "
        "1 for a deviation of about 10, 1,000 for one of 8,000. Bounds with it follow the unit of "
        "the target, which therefore does not matter."
    )
    numbers, classes = _families_of(FAMILIES), _families_of(CLASSIFIERS)
    return f"## Model families\n\n{scale}\n\n{numbers}\n### Classifiers\n\n{classes}"


def _families_of(families: Mapping[str, ModelFamily]) -> str:
    rows = (
        (
            f"`{family.name}`",
            family.title,
            "<br>".join(f"`{name}`: {dimension}" for name, dimension in family.space.items()),
            "<br>".join(f"`{name}`: {value}" for name, value in family.fixed.items()),
            str(family.resource or "none: nothing shows before the end"),
        )
        for family in families.values()
    )
    headings = ("Family", "What it is", "Searched", "Fixed", "Interval of the learning curve")
    return _table(headings, rows)


def _settings() -> str:
    rows = (
        (
            f"`{ENVIRONMENT_PREFIX}{name.upper()}`",
            str(field.title),
            str(field.description),
            _code(field.default) if field.default is not PydanticUndefined else "in `.state`",
        )
        for name, field in all_settings().model_fields.items()
    )
    return "## Settings\n\n" + _table(("Variable", "Title", "What it is", "Default"), rows)


def _code(value: object) -> str:
    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"`{shown}`" if shown else "empty"


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(headings)
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
