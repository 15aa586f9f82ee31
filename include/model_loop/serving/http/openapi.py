"""Description of the routes, for machines (OpenAPI) and for people.

Schemas come from the types that requests are read with, so that they cannot differ from them.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from model_loop.datasets.schema import schema_of
from model_loop.scoring.answers import Answer
from model_loop.serving.http.asgi import OPEN_PATHS, Refusal
from model_loop.serving.http.requests import KEY_LENGTH, Feedback
from model_loop.serving.http.tokens import Right
from trip_duration.columns import TRIP_COLUMNS, TRIP_READER, UNIT
from trip_duration.services import MOMENTS

TITLE = "Model loop"
_REFERENCE = "#/components/schemas/{name}"

#: An example of a row.
TRIP: Mapping[str, Any] = MappingProxyType(
    {column.field: column.example for column in TRIP_COLUMNS if column.example is not None}
)
_TLC_TRIP = {
    next(iter(column.published.values())): column.example
    for column in TRIP_COLUMNS
    if column.required
}
_ID = "018e0000000070008000000000000000"
_ANSWER = msgspec.to_builtins(
    Answer(prediction=11.9, prediction_id=_ID, model_version=3, moment="ended", minutes=11.9)
)
_COLUMNS = list(_TLC_TRIP)

_TEXT = {"type": "string"}
_MEANINGS = {
    400: "The body cannot be read.",
    401: "No known credentials.",
    403: "The role, or the scopes of the token, do not allow it.",
    404: "It is not in the log.",
    413: "Too many bytes or trips.",
    415: "The content type is not known.",
    422: "A value breaks a rule; the answer says which.",
    429: "The token asks too often.",
    503: "Nothing can answer at the moment.",
}

_RULES = """\
Zones are TLC's, 1 to 265 (264 is unknown, 265 is outside of the city), by number or by name; one
that the model has not learned from counts as the average. Times without an offset are those of New
York's clocks, with one they are converted. Distances are in miles, 0 or more. `passenger_count`,
`vendor_id` and `trip_type` may be left out; a time that is left out is now. There is one champion
for rides that are `booked`, which does without the metered distance, and one for trips that have
`ended`; a request names the `moment`, or is answered by the earliest champion that has all the
values it needs. Where that of ended trips has to answer without a distance, the typical one between
the zones is taken. The answer tells under `assumed` what was taken for a value that was left out.
Each value may come under TLC's own name instead of ours, and a number as text. What else TLC
publishes of a trip, such as `fare_amount`, is not read; an unknown name is refused. Everything that
is wrong with a request is told at once, under `problems`.
"""


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
    """

    name: str
    path: str
    method: str
    about: str
    gives: Mapping[str, Any]
    takes: Mapping[str, Any] = field(default_factory=dict)
    refuses: tuple[int, ...] = ()
    scope: Right = "read"

    def describe(self) -> dict[str, Any]:
        """Return the operation as OpenAPI has it."""
        is_open = self.path in OPEN_PATHS
        statuses = [*self.refuses, *(() if is_open else (401, 403, 429))]
        responses: dict[str, Any] = {
            "200": {"description": "Answered.", "content": dict(self.gives)},
            **{
                str(status): {
                    "description": _MEANINGS[status],
                    "content": _json(_reference("Refusal")),
                }
                for status in sorted(statuses)
            },
        }
        if self.path == "/readyz":
            responses["503"] = {"description": "Nothing answers.", "content": dict(self.gives)}
        told: dict[str, Any] = {
            "operationId": self.name,
            "summary": self.about.partition(".")[0],
            "description": self.about,
            "responses": responses,
            **({"security": []} if is_open else {"x-scope": self.scope}),
        }
        if self.takes:
            told["requestBody"] = {"required": True, "content": dict(self.takes)}
        if "{prediction_id}" in self.path:
            told["parameters"] = [
                {"name": "prediction_id", "in": "path", "required": True, "schema": _TEXT}
            ]
        return told


def _json(schema: Mapping[str, Any], **examples: object) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": schema}
    if examples:
        media["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"application/json": media}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=name)}


_OBJECT = {"type": "object"}
_RECORDS = {"type": "array", "items": _reference("Row"), "minItems": 1}
_SPLIT = {"columns": _COLUMNS, "data": [list(_TLC_TRIP.values())]}
_INVOCATION = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"dataframe_split": _OBJECT},
            "required": ["dataframe_split"],
            "additionalProperties": False,
        },
        *(
            {
                "type": "object",
                "properties": {name: _RECORDS},
                "required": [name],
                "additionalProperties": False,
            }
            for name in ("dataframe_records", "instances", "inputs")
        ),
    ]
}

OPERATIONS = (
    Operation(
        "predict",
        "/predict",
        "POST",
        f"Predict one or many trips. {_RULES}Requests with the same `key` are answered by the same "
        "version.",
        _json({"type": "array", "items": _reference("Answer")}, answer=[_ANSWER]),
        _json(
            _reference("PredictRequest"),
            one=dict(TRIP),
            many={"inputs": [dict(TRIP), _TLC_TRIP], "key": "customer-17"},
        ),
        (400, 413, 422, 503),
        "predict",
    ),
    Operation(
        "invocations",
        "/invocations",
        "POST",
        "Predict by MLflow's protocol. Takes `dataframe_split`, `dataframe_records`, `instances`, "
        "`inputs` or CSV, with the names and rules of `/predict`; the headers `X-Request-Key` and "
        "`X-Moment` are its key and its moment.",
        _json(
            _OBJECT,
            answer={
                "predictions": [11.9],
                "unit": UNIT,
                "prediction_ids": [_ID],
                "model_version": 3,
                "moment": "ended",
            },
        ),
        {
            **_json(
                _INVOCATION,
                split={"dataframe_split": _SPLIT},
                records={"dataframe_records": [_TLC_TRIP]},
                inputs={"inputs": {name: [value] for name, value in _TLC_TRIP.items()}},
            ),
            "text/csv": {
                "schema": _TEXT,
                "example": f"{','.join(_COLUMNS)}\n{','.join(map(str, _TLC_TRIP.values()))}\n",
            },
        },
        (400, 413, 415, 422, 503),
        "predict",
    ),
    Operation(
        "feedback",
        "/feedback",
        "POST",
        "Tell how long trips took. By their prediction ids, one or a list; the last word on a "
        "prediction counts.",
        _json(_OBJECT, answer={"noted": 1}),
        _json(
            {"anyOf": [_reference("Feedback"), {"type": "array", "items": _reference("Feedback")}]},
            one={"prediction_id": _ID, "actual_minutes": 12.5},
        ),
        (400, 404, 413, 422, 503),
        "feedback",
    ),
    Operation(
        "prediction",
        "/predictions/{prediction_id}",
        "GET",
        "Look up a prediction in the log. What is found has been committed.",
        _json(_OBJECT),
        refuses=(404, 503),
    ),
    Operation(
        "models",
        "/models",
        "GET",
        "Show the versions that answer. With moments, aliases and shares, and whether each is "
        "compiled.",
        _json(_OBJECT),
    ),
    Operation(
        "ab_report",
        "/ab_report",
        "GET",
        "Compare versions of a moment on predictions whose actual duration is known. With "
        "intervals; decided once, when each has the trips that it takes. A shadow is compared on "
        "the trips that another version has answered.",
        _json(_OBJECT),
        refuses=(503,),
    ),
    Operation("healthz", "/healthz", "GET", "Say that the process lives.", _json(_OBJECT)),
    Operation(
        "readyz",
        "/readyz",
        "GET",
        "Say whether predictions are answered. And whether the registry is reachable: if not, the "
        "last known version goes on answering.",
        _json(_OBJECT),
    ),
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


def describe(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document: schemas are those of the types that read and write JSON."""
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = operation.describe()
    types = (Answer, Feedback, Refusal)
    _, schemas = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    row = schema_of(TRIP_READER)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Row": row, "PredictRequest": _request(row)},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _request(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a request: a row, or a list of them, with a key and a moment."""
    return {
        **row,
        "title": "PredictRequest",
        "description": "One row, or several as `inputs`; the same `key` is always answered by the "
        "same version.",
        "properties": {
            **row["properties"],
            "inputs": _RECORDS,
            "key": {"type": ["string", "null"], "maxLength": KEY_LENGTH},
            "moment": {"enum": [*MOMENTS, None]},
        },
    }


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
            parts += _examples("gives", operation["responses"]["200"]["content"])
            refusals = [
                f"{status}: {html.escape(told['description'])}"
                for status, told in operation["responses"].items()
                if status != "200"
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
