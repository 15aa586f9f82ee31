"""The XCom backend: results of tasks as typed objects in storage.

Small JSON stays in Airflow's database as usual. Everything else (DataFrame, Series, array, CSR
matrix, TrainingSet and other dataclasses, Booster, estimator, large JSON) is written below
``[common.io] xcom_objectstorage_path``, each in its own format, and the database keeps a small
readable reference, which is what the UI and the REST API show. Reading verifies the digest.

The path may be ``file://`` or, with the extra ``s3``, ``s3://``; credentials and endpoint come from
the environment as for every AWS client (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, …).
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from airflow.providers.common.compat.sdk import conf
from airflow.providers.common.io.xcom.backend import SECTION, XComObjectStorageBackend
from airflow.sdk.bases.xcom import BaseXCom
from upath import UPath

from model_loop.errors import StoredObjectError
from model_loop.objects.files import LOCAL_PROTOCOLS, is_below
from model_loop.objects.reference import ObjectReference
from model_loop.objects.store import read_object, remove_object, write_object
from model_loop.objects.tree import needs_tree
from model_loop.settings import get_settings

#: Not every storage takes other characters in a name; run ids hold colons and plus signs.
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
#: An object's name: its key, the beginning of its digest, and the suffix of its kind.
OBJECT_NAME = re.compile(r"(?P<key>.+)-[0-9a-f]{16}\.[a-z.]+")

#: With digest, suffix and the partial file's name, what still fits into 255 characters.
_LONGEST_NAME = 128
#: Marks a name that was cut; no hexadecimal number begins with it.
_CUT = "x"

#: Keys that Airflow's scheduler reads straight from the database, past every backend.
_READ_BY_AIRFLOW = ("skipmixin_key", "past_depends_met", "trigger_run_id", "_link_")

log = logging.getLogger(__name__)


class ModelLoopXComBackend(XComObjectStorageBackend):
    """Keeps typed results in object storage and small references in the database."""

    @staticmethod
    def serialize_value(
        value: Any,  # noqa: ANN401 - whatever a task returns
        *,
        key: str | None = None,
        task_id: str | None = None,
        dag_id: str | None = None,
        run_id: str | None = None,
        map_index: int | None = None,
    ) -> str:
        """Store a result where it belongs; return what the database keeps."""
        key = key or BaseXCom.XCOM_RETURN_KEY
        plain = not needs_tree(value)
        if plain and (key.startswith(_READ_BY_AIRFLOW) or not _is_large_json(value)):
            return BaseXCom.serialize_value(value)
        folder = results_root()
        for part in (dag_id, run_id, task_id, str(-1 if map_index is None else map_index)):
            folder = folder / escaped(part or "unknown")
        reference = write_object(value, folder, escaped(key))
        _remove_former(folder, key, reference)
        return BaseXCom.serialize_value(reference.to_json())

    @staticmethod
    def deserialize_value(result: Any) -> Any:  # noqa: ANN401 - whatever a task returned
        """Read a result, verified.

        Raises
        ------
        StoredObjectError
            If its object is missing, was altered, or lies outside the configured path.
        """
        value = BaseXCom.deserialize_value(result)
        if not ObjectReference.is_reference(value):
            return value
        return read_object(_checked(value))

    @staticmethod
    def purge(xcom: Any, *args: object) -> None:  # noqa: ANN401, ARG004 - Airflow's signature
        """Remove the object of a result that Airflow deletes; one elsewhere is left alone.

        Airflow deletes a task's former results before the task starts again, so this must not
        fail: after the configured path has moved, no task could be cleared.
        """
        if not ObjectReference.is_reference(xcom.value):
            return
        try:
            remove_object(_checked(xcom.value))
        except (StoredObjectError, OSError, ValueError) as error:
            # A result that somebody wrote may refer to anything, such as a folder.
            log.warning("A former result is not removed. %s", error)


def results_root() -> UPath:
    """The configured path; a bare folder becomes the address that references name."""
    root = UPath(conf.get_mandatory_value(SECTION, "xcom_objectstorage_path"))
    return root if root.protocol else UPath(f"file://{root.absolute()}")


def _remove_former(folder: UPath, key: str, reference: ObjectReference) -> None:
    """Remove what former tries of the task have stored under the key and nothing refers to."""
    for path in folder.iterdir():
        parts = OBJECT_NAME.match(path.name)
        if parts and parts["key"] == escaped(key) and path.name != UPath(reference.uri).name:
            path.unlink(missing_ok=True)


def escaped(name: str) -> str:
    """A name as every storage takes it, from which it can be read back; see `unescaped`.

    Other characters than letters, digits and ``._-`` become ``=`` and their bytes in hexadecimal.
    A name that is too long is cut and ends with a digest: it stays apart, but is not read back.
    """
    safe = _UNSAFE.sub(lambda found: _hexadecimal(found[0]), name)
    if safe.strip(".") == "":
        safe = "".join(map(_hexadecimal, name))
    if len(safe) <= _LONGEST_NAME:
        return safe
    return f"{safe[:_LONGEST_NAME]}={_CUT}{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def unescaped(name: str) -> str | None:
    """The name that was escaped; None if it was too long to be kept whole."""
    if f"={_CUT}" in name:
        return None
    return unquote(name.replace("=", "%"))


def _hexadecimal(character: str) -> str:
    return "".join(f"={byte:02X}" for byte in character.encode())


def _checked(value: dict[str, Any]) -> ObjectReference:
    """The reference, if it points below the configured path."""
    reference, root = ObjectReference.from_json(value), results_root()
    try:
        below = is_below(_without_links(UPath(reference.uri)), _without_links(root))
    except (OSError, RuntimeError, ValueError):
        # An unknown kind of storage, links in a circle, a name that no file can have.
        below = False
    if not below:
        raise StoredObjectError(
            f"The stored {reference.kind} {reference.uri}",
            f"does not lie under {root}",
            "Set [common.io] xcom_objectstorage_path to where results were written.",
        )
    return reference


def _without_links(path: UPath) -> UPath:
    """Follow the links of a folder; other stores have none."""
    return UPath(Path(path.path).resolve()) if path.protocol in LOCAL_PROTOCOLS else path


def _is_large_json(value: object) -> bool:
    try:
        encoded = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        # Dates and Airflow's own objects, which its serializers know.
        return False
    return len(encoded) > get_settings().xcom_inline_bytes
