"""Description of the routes, for machines (OpenAPI) and for people.

Schemas come from the types that requests are read with, so that they cannot differ from them.
"""

from __future__ import annotations

import hashlib
import html
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from model_loop.datasets.classes import Label, TaskKind
from model_loop.datasets.columns import Column
from model_loop.datasets.dataset import Dataset, Target
from model_loop.datasets.reading import Row
from model_loop.datasets.schema import schema_of
from model_loop.intervals.grid import (
    DEFAULT_LEVEL,
    HIGHEST_LEVEL,
    LEVEL,
    LOWER,
    LOWEST_LEVEL,
    UPPER,
)
from model_loop.scoring.answers import actual_name, answer_maker, answer_type
from model_loop.scoring.limits import PROBABILITIES, THRESHOLD, Limits
from model_loop.scoring.outcomes import Outcome
from model_loop.serving.http.asgi import OPEN_PATHS, Refusal
from model_loop.serving.http.requests import (
    EXPLAIN,
    EXPLAINED_ROWS,
    KEY_LENGTH,
    feedback_type,
)
from model_loop.serving.http.tokens import Right

TITLE = "Model loop"
#: Statuses that are no refusals.
_ANSWERS = ("200", "202")
_REFERENCE = "#/components/schemas/{name}"
_ID = "018e0000000070008000000000000000"

_TEXT = {"type": "string"}
_MEANINGS = {
    400: "The body cannot be read.",
    401: "No known credentials.",
    403: "The role, or the scopes of the token, do not allow it.",
    404: "Nothing has this id.",
    409: "It is not in a state in which this can be done, or the key was sent with something else.",
    413: "Too many bytes or rows.",
    415: "The content type is not known.",
    422: "A value breaks a rule; the answer says which.",
    429: "The token asks too often.",
    503: "Nothing can answer at the moment.",
}
_LEVELS_TOLD = (
    f"{DEFAULT_LEVEL:g}, or the `level` of the request, from {LOWEST_LEVEL:g} to {HIGHEST_LEVEL:g}"
)
#: Words around a prediction, by the kind of the target.
_AROUND: Mapping[TaskKind, str] = MappingProxyType(
    {
        "regression": "`lower` and `upper` are the limits of an interval that holds `level` % of "
        f"the true values: {_LEVELS_TOLD}; all three are null of a version that was registered "
        "before there were intervals.",
        "binary": "`prediction` is the positive class where its probability, under "
        "`probabilities`, is at least the `threshold`.",
        "multiclass": "`prediction` is the class with the highest of the `probabilities`. The true "
        f"one is among `classes` in `level` % of the rows: {_LEVELS_TOLD}; both are missing of a "
        "version without such sets.",
    }
)
_INVOKED: Mapping[TaskKind, str] = MappingProxyType(
    {
        "regression": "The answer has `lower` and `upper`, as lists, and `level` if `params` names "
        "a `level`.",
        "binary": "The answer has labels as `predictions`, and beside them their `probabilities` "
        "and the `threshold`.",
        "multiclass": "The answer has labels as `predictions`, beside them their `probabilities`, "
        "and `classes` and `level` if `params` names a `level`.",
    }
)
_LABELS: Mapping[TaskKind, tuple[Label, ...]] = MappingProxyType(
    {"binary": ("A", "B"), "multiclass": ("A", "B", "C")}
)
#: Values of columns that have no example.
_EXAMPLES: Mapping[str, Any] = MappingProxyType(
    {"number": 1.0, "category": "A", "yes_no": True, "time": "2024-01-15T08:30:00"}
)


def example_row(dataset: Dataset) -> dict[str, Any]:
    """Return a row as requests have it, with every column that has an example or is needed."""
    return {
        column.field: _example(column)
        for column in dataset.columns
        if column.example is not None or dataset.declaration is not None
    }


def _file_row(dataset: Dataset) -> dict[str, Any]:
    """Return the columns that a model cannot do without, by their names in files."""
    return {
        next(iter(column.published.values()), column.name): _example(column)
        for column in dataset.columns
        if column.required or dataset.declaration is not None
    }


def _example(column: Column) -> Any:  # noqa: ANN401 - any JSON
    if column.example is not None:
        return column.example
    if column.kind == "number" and math.isfinite(column.lowest):
        return column.lowest
    return column.categories[0] if column.categories else _EXAMPLES[column.kind]


def _rules(dataset: Dataset) -> str:
    """Return what callers have to know of rows, in sentences."""
    notes = dataset.notes or (
        f"Times without an offset are those of {_time_zone(dataset)}, with one they are converted. "
        "A value that is not required may be left out, and a category that the model has not "
        "learned from is read and named under `notices`. A row is asked at one of the moments "
        f"{', '.join(f'`{moment}`' for moment in dataset.moments)}; a request names the `moment`, "
        "or is answered by the earliest champion that has all the values it needs. Each value may "
        "come under its name in files, and a number as text; an unknown name is refused."
    )
    return f"{notes} All errors of a request are reported at once, under `problems`."


def _time_zone(dataset: Dataset) -> str:
    time = dataset.declaration.time if dataset.declaration else None
    return time.stored_in if time else dataset.time_zone


#: Parts of a path that differ from request to request.
_PARTS = re.compile(r"{(\w+)}")
#: Word between a variant and its dataset.
_OF = "of"
#: Words that stay apart in every spelling: `a_b` becomes `AB`, and that `ab` in file names.
_APART = re.compile(r"[a-z][a-z0-9]+")


def _words_of(path: str) -> list[str]:
    """Return words that name a path, and no other one, however a generator of clients joins them.

    Empty for the default variant; ``["bike", "rentals"]`` for ``/bike_rentals``, and
    ``["rentals", "of", "bike"]`` for ``/bike/rentals``. The words of names that could be read
    otherwise are followed by a digest.
    """
    if not path:
        return []
    dataset, *variant = path.strip("/").split("/")
    named = [word for name in (*variant, dataset) for word in name.split("_")]
    own = "_".join(variant).split("_") if variant else []
    words = [*own, *([_OF] if own else []), *dataset.split("_")]
    if all(word != _OF and _APART.fullmatch(word) for word in named):
        return words
    return [*filter(None, words), f"x{hashlib.sha256(path.encode()).hexdigest()[:6]}"]


@dataclass(frozen=True)
class Operation:
    """One route.

    Parameters
    ----------
    name
        Name of its handler.
    path, method
        Path and method of the route.
    about
        Description of the route; the first sentence is its summary.
    takes
        Bodies by content type, as OpenAPI's media types.
    gives
        Schema and example of the answer, and its content type.
    refuses
        Statuses of refusals.
    scope
        Needed by a token, unless the route is open.
    asks
        Parameters of the address, as OpenAPI's.
    answers
        Status of an answer that is no refusal.
    """

    name: str
    path: str
    method: str
    about: str
    gives: Mapping[str, Any]
    takes: Mapping[str, Any] = field(default_factory=dict)
    refuses: tuple[int, ...] = ()
    scope: Right = "read"
    asks: tuple[Mapping[str, Any], ...] = ()
    answers: int = 200

    @property
    def identifier(self) -> str:
        """Name that no other operation has: that of the handler, behind the path of its dataset."""
        path = self.path.partition("/{")[0].rpartition("/")[0]
        return "_".join((*_words_of(path), self.name))

    def describe(self) -> dict[str, Any]:
        """Return the operation as OpenAPI has it."""
        is_open = self.path in OPEN_PATHS
        statuses = [*self.refuses, *(() if is_open else (401, 403, 429))]
        responses: dict[str, Any] = {
            str(self.answers): {"description": "Answered.", "content": dict(self.gives)},
            **{
                str(status): {
                    "description": _MEANINGS[status],
                    "content": _json(_reference("Refusal")),
                }
                for status in sorted(statuses)
            },
        }
        if self.name == "readyz":
            responses["503"] = {"description": "Nothing answers.", "content": dict(self.gives)}
        told: dict[str, Any] = {
            "operationId": self.identifier,
            "summary": self.about.partition(".")[0],
            "description": self.about,
            "responses": responses,
            **({"security": []} if is_open else {"x-scope": self.scope}),
        }
        if self.takes:
            told["requestBody"] = {"required": True, "content": dict(self.takes)}
        parameters = [dict(one) for one in self.asks]
        parameters += [
            {"name": name, "in": "path", "required": True, "schema": _TEXT}
            for name in _PARTS.findall(self.path)
        ]
        if parameters:
            told["parameters"] = parameters
        return told


def _json(schema: Mapping[str, Any], **examples: object) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": schema}
    if examples:
        media["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"application/json": media}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=name)}


_OBJECT = {"type": "object"}
_LEVEL = {"type": ["number", "null"], "minimum": LOWEST_LEVEL, "maximum": HIGHEST_LEVEL}
_EXPLAIN: Mapping[str, Any] = MappingProxyType(
    {
        "name": EXPLAIN,
        "in": "query",
        "description": "Give the `reasons` of each prediction: what its columns add, in the unit "
        f"of the prediction. Of up to {EXPLAINED_ROWS} rows, by versions that are linear or made "
        "of trees; of very large forests, reasons are given in files alone.",
        "schema": {"type": "boolean", "default": False},
    }
)
_BINARY: Mapping[str, Any] = MappingProxyType({"type": "string", "format": "binary"})
#: Content types of files that are sent.
_FILE_TYPES = ("application/octet-stream", "text/csv", "application/vnd.apache.parquet")
_ADDRESS: Mapping[str, Any] = MappingProxyType(
    {
        "type": "object",
        "properties": {"address": _TEXT},
        "required": ["address"],
        "additionalProperties": False,
    }
)
_BATCH: Mapping[str, Any] = MappingProxyType(
    {
        "type": "object",
        "properties": {
            "id": _TEXT,
            "state": {"enum": ["waiting", "running", "done", "failed", "cancelled"]},
            "name": _TEXT,
            "bytes": {"type": "integer"},
            "rows": {"type": ["integer", "null"]},
            **{name: {"type": "integer"} for name in ("read", "predicted", "rejected")},
            "model_version": {"type": ["integer", "null"]},
            **{name: {"type": "number"} for name in ("created", "expires")},
            "error": {"type": ["object", "null"]},
        },
    }
)
_BATCHES: Mapping[str, Any] = MappingProxyType(
    {"type": "object", "properties": {"batches": {"type": "array", "items": dict(_BATCH)}}}
)
_BATCH_EXAMPLE: Mapping[str, Any] = MappingProxyType(
    {
        "id": _ID,
        "state": "running",
        "name": "rows.csv",
        "bytes": 40_960,
        "rows": 500,
        "read": 250,
        "predicted": 248,
        "rejected": 2,
        "model_version": 3,
        "created": 1_700_000_000.0,
        "expires": 1_700_604_800.0,
        "error": None,
    }
)


def _query(name: str, about: str, schema: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a parameter of the address that may be left out."""
    return {"name": name, "in": "query", "description": about, "schema": {**(schema or _TEXT)}}


#: Parameters of MLflow's protocol.
_PARAMS = {"type": "object", "properties": {LEVEL: _LEVEL}, "additionalProperties": False}


@dataclass(frozen=True)
class DescribedVariant:
    """A variant as the description shows it.

    Parameters
    ----------
    dataset
        Dataset of the variant.
    path
        Beginning of the paths of its routes; empty for the default one.
    batches
        Whether files are scored.
    """

    dataset: Dataset
    path: str = ""
    batches: bool = False

    def schema(self, name: str) -> str:
        """Return the name of a schema: ``Row``, or ``FlightsRow`` of another than the default."""
        return "".join(word.capitalize() for word in _words_of(self.path)) + name

    def schemas(self) -> dict[str, Any]:
        """Return the schemas of its requests and answers."""
        types = (
            answer_type(self.dataset.target, self.schema("Answer")),
            feedback_type(self.dataset.target, self.schema("Feedback")),
        )
        _, schemas = msgspec.json.schema_components(types, ref_template=_REFERENCE)
        row = schema_of(self.dataset.reader, self.schema("Row"))
        return {
            **schemas,
            self.schema("Row"): row,
            self.schema("PredictRequest"): self._request(row),
        }

    def _request(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the schema of a request: rows, with a key, a moment and a level."""
        # A column of this name goes first beside a single row.
        level = {} if LEVEL in row["properties"] else {LEVEL: _LEVEL}
        return {
            **row,
            "title": self.schema("PredictRequest"),
            "description": "One row, or several as `inputs`; the same `key` is always answered by "
            "the same version.",
            "properties": {
                **row["properties"],
                "inputs": self._records(),
                "key": {"type": ["string", "null"], "maxLength": KEY_LENGTH},
                "moment": {"enum": [*self.dataset.moments, None]},
                **level,
            },
        }

    def _records(self) -> dict[str, Any]:
        return {"type": "array", "items": _reference(self.schema("Row")), "minItems": 1}

    def _answer(self) -> Any:  # noqa: ANN401 - JSON
        target = self.dataset.target
        moment = self.dataset.recipe(self.dataset.default_recipe).moment
        if target.is_classified:
            outcome = _example_outcome(target)
            around = Limits(None, None, DEFAULT_LEVEL if outcome.classes else None)
            made = answer_maker(self.dataset)
            return msgspec.to_builtins(made(Row([], ()), outcome, _ID, 3, moment, (), around))
        older = {target.former: 11.9} if target.former else {}
        kind: Any = answer_type(target)
        limits = {LOWER: 8.4, UPPER: 17.1, LEVEL: DEFAULT_LEVEL}
        answer = kind(
            prediction=11.9,
            prediction_id=_ID,
            model_version=3,
            moment=moment,
            **limits,
            **older,
        )
        return msgspec.to_builtins(answer)

    def operations(self) -> tuple[Operation, ...]:
        """Return the routes that ask this variant."""
        dataset, unit = self.dataset, self.dataset.target.unit
        row, in_files = example_row(dataset), _file_row(dataset)
        answer, rows, target = self._answer(), dataset.rows[0], dataset.target
        beside = {name: [answer[name]] for name in (PROBABILITIES,) if name in answer}
        beside |= {name: answer[name] for name in (THRESHOLD,) if name in answer}
        true_value = answer["prediction"] if target.is_classified else 12.5
        feedback = _reference(self.schema("Feedback"))
        return (
            Operation(
                "predict",
                f"{self.path}/predict",
                "POST",
                f"Predict one or many {rows}. {_rules(dataset)} Requests with the same `key` are "
                f"answered by the same version. {_AROUND[target.kind]}",
                _json(
                    {"type": "array", "items": _reference(self.schema("Answer"))}, answer=[answer]
                ),
                _json(
                    _reference(self.schema("PredictRequest")),
                    one=row,
                    many={"inputs": [row, in_files], "key": "customer-17", LEVEL: 80},
                ),
                (400, 413, 422, 503),
                "predict",
                (_EXPLAIN,),
            ),
            Operation(
                "invocations",
                f"{self.path}/invocations",
                "POST",
                "Predict by MLflow's protocol. Takes `dataframe_split`, `dataframe_records`, "
                "`instances`, `inputs` or CSV, with the names and rules of `/predict`; the headers "
                "`X-Request-Key` and `X-Moment` are its key and its moment. "
                f"{_INVOKED[target.kind]}",
                _json(
                    _OBJECT,
                    answer={
                        "predictions": [answer["prediction"]],
                        "unit": unit,
                        "prediction_ids": [_ID],
                        "model_version": 3,
                        "moment": answer["moment"],
                        **beside,
                    },
                ),
                {
                    **_json(
                        _invocation(self._records()),
                        split={
                            "dataframe_split": {
                                "columns": list(in_files),
                                "data": [list(in_files.values())],
                            }
                        },
                        records={"dataframe_records": [in_files]},
                        inputs={"inputs": {name: [value] for name, value in in_files.items()}},
                    ),
                    "text/csv": {
                        "schema": _TEXT,
                        "example": f"{','.join(in_files)}\n"
                        f"{','.join(map(str, in_files.values()))}\n",
                    },
                },
                (400, 413, 415, 422, 503),
                "predict",
            ),
            Operation(
                "feedback",
                f"{self.path}/feedback",
                "POST",
                "Tell true values. By their prediction ids, one or a list; the last word on a "
                "prediction counts.",
                _json(_OBJECT, answer={"noted": 1}),
                _json(
                    {"anyOf": [feedback, {"type": "array", "items": feedback}]},
                    one={"prediction_id": _ID, actual_name(target): true_value},
                ),
                (400, 404, 413, 422, 503),
                "feedback",
            ),
            Operation(
                "prediction",
                f"{self.path}/predictions/{{prediction_id}}",
                "GET",
                "Look up a prediction in the log. What is found has been committed.",
                _json(_OBJECT),
                refuses=(404, 503),
            ),
            Operation(
                "models",
                f"{self.path}/models",
                "GET",
                "Show the versions that answer. With moments, aliases and shares, and whether each "
                "is compiled.",
                _json(_OBJECT),
            ),
            Operation(
                "ab_report",
                f"{self.path}/ab_report",
                "GET",
                "Compare versions of a moment on predictions whose true value is known. By day, "
                "with evidence that may be read every day. A shadow is compared on the "
                f"{rows} that another version has answered.",
                _json(_OBJECT),
                refuses=(503,),
            ),
            Operation(
                "readyz",
                f"{self.path}/readyz",
                "GET",
                "Say whether predictions are answered. And whether the registry is reachable: if "
                "not, the last known version goes on answering.",
                _json(_OBJECT),
            ),
            *(self._of_batches() if self.batches else ()),
        )

    def _of_batches(self) -> tuple[Operation, ...]:
        """Return the routes by which files are scored."""
        all_of_them, rows = f"{self.path}/batches", self.dataset.rows[0]
        single = f"{all_of_them}/{{batch_id}}"
        binary = {"application/octet-stream": {"schema": _BINARY}}
        moments = {"type": "string", "enum": list(self.dataset.moments)}
        return (
            Operation(
                "send_batch",
                all_of_them,
                "POST",
                f"Have the {rows} of a file predicted. The body is the file: CSV, JSON lines, "
                "Parquet or Arrow, texts perhaps packed by gzip or zip; or JSON with the `address` "
                "of one that requests may name. The answer comes as soon as the file is kept, and "
                "`Location` leads to its state. The same `Idempotency-Key` with the same file and "
                "options gives the same batch.",
                _json(_BATCH, answer=_BATCH_EXAMPLE),
                {
                    **{kind: {"schema": _BINARY} for kind in _FILE_TYPES},
                    **_json(_ADDRESS, named={"address": "s3://bucket/rows.parquet"}),
                },
                (400, 409, 413, 415, 422, 503),
                "predict",
                (
                    _query("name", "Name of the file: its ending is compared with the bytes."),
                    _query(LEVEL, "As of `/predict`.", {**_LEVEL, "type": "number"}),
                    _query("moment", "As of `/predict`.", moments),
                    _query(EXPLAIN, "Give reasons in a column.", {"type": "boolean"}),
                    {
                        **_query("Idempotency-Key", "Name of the request, as a UUID."),
                        "in": "header",
                    },
                ),
                answers=202,
            ),
            Operation(
                "batches",
                all_of_them,
                "GET",
                "List the batches of the token. The newest first; operators see those of all.",
                _json(
                    {
                        "type": "object",
                        "properties": {"batches": {"type": "array", "items": _BATCH}},
                    }
                ),
                refuses=(503,),
                scope="predict",
            ),
            Operation(
                "batch",
                single,
                "GET",
                "Say how far a batch is. `state` is waiting, running, done, failed or cancelled; "
                "`error` says why it has failed.",
                _json(_BATCH, answer=_BATCH_EXAMPLE),
                refuses=(404, 503),
                scope="predict",
            ),
            Operation(
                "batch_result",
                f"{single}/result",
                "GET",
                "Give the file with its predictions. In its own format, unpacked; Arrow as "
                "Parquet.",
                binary,
                refuses=(404, 409, 503),
                scope="predict",
            ),
            Operation(
                "batch_rejected",
                f"{single}/rejected",
                "GET",
                f"Give the {rows} that could not be predicted. Each with the reason.",
                binary,
                refuses=(404, 409, 503),
                scope="predict",
            ),
            Operation(
                "cancel_batch",
                f"{single}/cancel",
                "POST",
                "End a batch that is not done. Its file is removed.",
                _json(_BATCH, answer={**_BATCH_EXAMPLE, "state": "cancelled"}),
                refuses=(404, 409, 503),
                scope="predict",
            ),
            Operation(
                "remove_batch",
                single,
                "DELETE",
                "Remove a batch with its file and results. One that runs is ended.",
                _json(_OBJECT, answer={"id": _ID, "removed": True}),
                refuses=(404, 503),
                scope="predict",
            ),
        )


def _example_outcome(target: Target) -> Outcome:
    """Return an outcome for examples, of other labels where no training set has named them yet."""
    known = target.classes is not None
    labels: tuple[Label, ...] = target.labels.labels if known else _LABELS[target.kind]
    if target.kind == "binary":
        negative, positive = labels
        shares = {str(negative): 0.25, str(positive): 0.75}
        return Outcome(positive, shares, 0.75, threshold=0.5)
    others = 0.25 / max(len(labels) - 1, 1)
    shares = {str(label): others if number else 0.75 for number, label in enumerate(labels)}
    return Outcome(labels[0], shares, 0.75, classes=[*labels[:2]])


def _invocation(records: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a request in one of MLflow's forms."""
    forms: dict[str, Mapping[str, Any]] = {"dataframe_split": _OBJECT}
    forms |= dict.fromkeys(("dataframe_records", "instances", "inputs"), records)
    return {
        "oneOf": [
            {
                "type": "object",
                "properties": {name: form, "params": _PARAMS},
                "required": [name],
                "additionalProperties": False,
            }
            for name, form in forms.items()
        ]
    }


#: Routes of the whole server.
SHARED = (
    Operation("healthz", "/healthz", "GET", "Say that the process lives.", _json(_OBJECT)),
    Operation(
        "metrics",
        "/metrics",
        "GET",
        "Give counters to Prometheus. In its text format.",
        {"text/plain": {"schema": _TEXT}},
    ),
    Operation(
        "docs",
        "/docs",
        "GET",
        "Show this description. As one page without scripts.",
        {"text/html": {"schema": _TEXT}},
    ),
    Operation(
        "openapi", "/openapi.json", "GET", "Show this description. As OpenAPI.", _json(_OBJECT)
    ),
)


_STYLE = (
    "<style>body{font:16px/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem}"
    "pre{background:#f4f4f4;padding:.7rem;overflow:auto}</style>"
)


def describe(served: Sequence[DescribedVariant], operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document: schemas are those of the types that read and write JSON.

    Parameters
    ----------
    served
        The variants, the default one first.
    """
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = operation.describe()
    _, schemas = msgspec.json.schema_components((Refusal,), ref_template=_REFERENCE)
    for one in served:
        schemas |= one.schemas()
    document = {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": "1"},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }
    plain: dict[str, Any] = _plain(document)
    return plain


def _plain(node: Any) -> Any:  # noqa: ANN401 - a part of a document
    """Return a part of a document whose mappings are all of the kind that JSON is written of."""
    if isinstance(node, Mapping):
        return {name: _plain(value) for name, value in node.items()}
    return [_plain(value) for value in node] if isinstance(node, list | tuple) else node


def docs_page(document: Mapping[str, Any]) -> str:
    """The description as one page without scripts, so that it can stand beside a login cookie."""
    title = html.escape(document["info"]["title"])
    parts = [f"<!doctype html><meta charset=utf-8><title>{title}</title>{_STYLE}<h1>{title}</h1>"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2>{method.upper()} {html.escape(path)}</h2>")
            parts.append(f"<p>{html.escape(operation['description'])}</p>")
            if scope := operation.get("x-scope"):
                parts.append(f"<p>scope of the token: <code>{scope}</code></p>")
            parts += _examples("takes", operation.get("requestBody", {}).get("content", {}))
            (answer,) = (one for one in operation["responses"] if one in _ANSWERS)
            parts += _examples("gives", operation["responses"][answer]["content"])
            refusals = [
                f"{status}: {html.escape(told['description'])}"
                for status, told in operation["responses"].items()
                if status != answer
            ]
            parts.append(f"<p>{'<br>'.join(refusals)}</p>")
    schemas = json.dumps(document["components"]["schemas"], indent=1)
    parts.append(f"<h2>Types</h2><pre>{html.escape(schemas)}</pre>")
    return "\n".join(parts)


def _examples(word: str, content: Mapping[str, Any]) -> list[str]:
    found = []
    for kind, media in content.items():
        examples = [one["value"] for one in media.get("examples", {}).values()]
        for value in (*examples, *([media["example"]] if "example" in media else [])):
            shown = value if isinstance(value, str) else json.dumps(value, indent=1)
            found.append(f"<p>{word} <code>{kind}</code></p><pre>{html.escape(shown)}</pre>")
    return found
