"""References to stored objects: small, readable, and enough to find and verify them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

from model_loop.errors import StoredObjectError

_MARKER = "stored_object"
_VERSION = 1
#: Fields that every reference has.
_KINDS = {"kind": str, "size": int, "digest": str, "uri": str}


@dataclass(frozen=True)
class ObjectReference:
    """A stored object.

    Parameters
    ----------
    kind
        ``DataFrame``, ``Series``, ``ndarray``, ``csr_matrix``, ``Booster``, ``estimator``,
        ``json``, or the name of a dataclass.
    shape
        Its size as a person says it; None where that says nothing.
    size
        Bytes.
    digest
        sha256 of the stored bytes, hex.
    uri
        Address of the object.
    """

    kind: str
    shape: str | None
    size: int
    digest: str
    uri: str

    def to_json(self) -> dict[str, Any]:
        """Convert to plain JSON, with a mark that tells it from a user's own dict."""
        return {_MARKER: _VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Back from plain JSON.

        Raises
        ------
        StoredObjectError
            If something that a reference says is missing, or is of another type.
        """
        missing = sorted(
            name for name, kind in _KINDS.items() if not isinstance(value.get(name), kind)
        )
        if missing:
            raise StoredObjectError(
                "A reference to a stored object",
                f"does not say its {', '.join(missing)}",
                "Clear the task that made it, so that it is made again.",
            )
        return cls(shape=value.get("shape"), **{name: value[name] for name in _KINDS})

    @staticmethod
    def is_reference(value: object) -> bool:
        """Return whether a JSON value is a reference."""
        return isinstance(value, dict) and value.get(_MARKER) == _VERSION
