"""Values made of values: dataclasses, lists, tuples and mappings, with matrices as their leaves.

The tree becomes JSON; a leaf that JSON cannot hold becomes a part in its own format. A dataclass is
its format (see `formats`) and its fields, ``{"format": "month_report/1", "rows": 3, …}``; mappings
of the user stand below a key of their own, so that they are not taken for one.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from model_loop.errors import StoredObjectError
from model_loop.objects.codecs import CODECS, Codec, codec_of
from model_loop.objects.formats import class_of, format_of, former_format, own_packages
from model_loop.objects.reference import ObjectReference

_PART = "$part"
#: Values within values; a trained model has a dozen.
_DEPTH = 100

#: Types of fields, as they are annotated, that are checked when a dataclass is read.
_PLAIN: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "bool": (bool,),
        "int": (int,),
        "float": (float, int),
        "str": (str,),
        "dt.datetime": (dt.datetime,),
    }
)


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A value that JSON cannot hold; its bytes are made when they are asked for.

    Parameters
    ----------
    codec
        Format of the value.
    value
        The value.
    """

    codec: Codec
    value: Any

    def encode(self) -> bytes:
        """Return the bytes of its file.

        Raises
        ------
        StoredObjectError
            If it cannot be stored.
        """
        return self.codec.encode(self.value)


Parts = dict[str, Leaf]


def is_own_dataclass(value: object) -> bool:
    """Return whether a value is an instance of a dataclass of this package or of a dataset's."""
    package = type(value).__module__.partition(".")[0]
    return dataclasses.is_dataclass(value) and package in own_packages()


def needs_tree(value: object, depth: int = 0) -> bool:
    """Return whether a value is, or holds, something that plain JSON cannot.

    A user's own dict that looks like a reference needs a tree too: it must not be read as one. So
    does what is nested too deep, which `to_tree` refuses.
    """
    if isinstance(value, MappingProxyType) or ObjectReference.is_reference(value):
        return True
    if depth > _DEPTH:
        return True
    if isinstance(value, list | tuple):
        return any(needs_tree(item, depth + 1) for item in value)
    if isinstance(value, Mapping):
        return any(needs_tree(item, depth + 1) for item in value.values())
    return is_own_dataclass(value) or codec_of(value) is not None


def to_tree(value: object) -> tuple[Any, Parts]:
    """Turn a value into JSON and parts.

    Raises
    ------
    StoredObjectError
        If something in it cannot be stored.
    """
    parts: Parts = {}
    return _flatten(value, parts), parts


def _require_flat(depth: int) -> None:
    """Refuse values that are nested without end: Python's stack ends somewhere.

    Raises
    ------
    StoredObjectError
        If they are.
    """
    if depth > _DEPTH:
        raise StoredObjectError(
            "A value", f"is nested more than {_DEPTH} levels deep", "Store it as a flat list."
        )


def _flatten(value: Any, parts: Parts, depth: int = 0) -> Any:  # noqa: ANN401, PLR0911 - one line for each kind
    _require_flat(depth)
    descend = functools.partial(_flatten, parts=parts, depth=depth + 1)
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            # NumPy's floats are floats too, but write themselves as np.float64(nan).
            number = float(value)
            return number if math.isfinite(number) else {"$float": repr(number)}
        case dt.datetime():
            return {"$datetime": value.isoformat()}
        case list():
            return [descend(item) for item in value]
        case tuple():
            return {"$tuple": [descend(item) for item in value]}
        case Mapping():
            kind = "$frozen" if isinstance(value, MappingProxyType) else "$dict"
            return {kind: {_text(key): descend(item) for key, item in value.items()}}
        case _ if is_own_dataclass(value):
            fields = {
                field.name: descend(getattr(value, field.name))
                for field in dataclasses.fields(value)
            }
            return {"format": format_of(type(value)), **fields}
    codec = codec_of(value)
    if codec is None:
        raise StoredObjectError(
            f"A value of type {type(value).__module__}.{type(value).__qualname__}",
            "cannot be stored",
            "Return a DataFrame, Series, array, CSR matrix, estimator, Booster, dataclass or JSON.",
        )
    name = f"{len(parts)}{codec.suffix}"
    parts[name] = Leaf(codec, value)
    return {_PART: name, "kind": codec.kind}


def _text(key: object) -> str:
    if not isinstance(key, str):
        raise StoredObjectError(f"The key {key!r}", "is not text", "Use text as keys of mappings.")
    return key


def from_tree(node: Any, parts: Mapping[str, Any], depth: int = 0) -> Any:  # noqa: ANN401, PLR0911 - any kind
    """Turn JSON and parts back into the value.

    A dataclass that has gained a field with a default since, or lost a field, is still read, and so
    is one that names its class, as versions before 0.2 have written it.

    Parameters
    ----------
    parts
        Bytes of each part by its name, or an array that was mapped already.

    Raises
    ------
    StoredObjectError
        If a format is named that is not known, or one that needs a field that was not stored; if a
        part is missing or of a kind that is not known; or if it is nested too deep.
    """
    _require_flat(depth)
    descend = functools.partial(from_tree, parts=parts, depth=depth + 1)
    match node:
        case list():
            return [descend(item) for item in node]
        case {"$part": name, "kind": kind}:
            if kind not in CODECS or name not in parts:
                raise StoredObjectError(
                    f"The part {name!r} of a stored object",
                    f"cannot be read: no part of kind {kind!r} is known by that name",
                    "It was written by a newer version, or is incomplete: make it again.",
                )
            part = parts[name]
            return CODECS[kind].decode(part) if isinstance(part, bytes) else part
        case {"format": str()} | {"$dataclass": str(), "fields": dict()}:
            return _build(node, descend)
        case {"$tuple": items}:
            return tuple(descend(item) for item in items)
        case {"$dict": items}:
            return {key: descend(item) for key, item in items.items()}
        case {"$frozen": items}:
            return MappingProxyType({key: descend(item) for key, item in items.items()})
        case {"$float": text}:
            return float(text)
        case {"$datetime": text}:
            return dt.datetime.fromisoformat(text)
    return node


def _build(node: dict[str, Any], descend: Callable[[Any], Any]) -> object:
    if "format" in node:
        name, stored = node["format"], node
    else:
        name, stored = former_format(node["$dataclass"]), node["fields"]
    cls, stored = class_of(name, stored)
    fields = [field for field in dataclasses.fields(cls) if field.init]
    missing = [
        field.name
        for field in fields
        if field.name not in stored
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise StoredObjectError(
            f"A stored object of the format {name!r}",
            f"was written by another version, without {', '.join(missing)}",
            "Clear the task that made it, so that it is made again.",
        )
    # A field that is not known any more is left unread: its own class may be gone as well.
    values = {field.name: descend(stored[field.name]) for field in fields if field.name in stored}
    for field in fields:
        kind = _PLAIN.get(str(field.type))
        if kind and field.name in values and not isinstance(values[field.name], kind):
            raise StoredObjectError(
                f"A stored object of the format {name!r}",
                f"holds {values[field.name]!r} as {field.name}, which is not of type {field.type}",
                "It was damaged, or written by another version: make it again.",
            )
    return cls(**values)
