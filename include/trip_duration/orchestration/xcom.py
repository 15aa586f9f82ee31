"""The XCom backend: results of tasks as typed objects in storage.

Small JSON stays in Airflow's database as usual. Everything else (DataFrame, Series, array, CSR
matrix, TrainingSet and other dataclasses, Booster, estimator, large JSON) is written below
``[common.io] xcom_objectstorage_path``, each in its own format, and the database keeps a small
readable reference, which is what the UI and the REST API show. Reading verifies the digest.

The path may be ``file://`` or, with the extra ``s3``, ``s3://``; credentials and endpoint come from
the environment as for every AWS client (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, …).
"""

from __future__ import annotations

import json
import re
from typing import Any

from airflow.providers.common.compat.sdk import conf
from airflow.providers.common.io.xcom.backend import SECTION, XComObjectStorageBackend
from airflow.sdk.bases.xcom import BaseXCom
from upath import UPath

from trip_duration.errors import StoredObjectError
from trip_duration.objects.reference import ObjectReference
from trip_duration.objects.tree import needs_tree
from trip_duration.settings import get_settings

#: Characters that every storage takes in a name; run ids hold colons and plus signs.
_UNSAFE = re.compile(r"[^A-Za-z0-9._=-]")


class TripDurationXComBackend(XComObjectStorageBackend):
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
        if not needs_tree(value) and not _is_large_json(value):
            return BaseXCom.serialize_value(value)
        from trip_duration.objects.store import write_object

        folder = _root()
        for part in (dag_id, run_id, task_id, str(-1 if map_index is None else map_index)):
            folder = folder / _UNSAFE.sub("_", part or "unknown")
        name = _UNSAFE.sub("_", key or BaseXCom.XCOM_RETURN_KEY)
        return BaseXCom.serialize_value(write_object(value, folder, name).to_json())

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
        from trip_duration.objects.store import read_object

        return read_object(_checked(value))

    @staticmethod
    def purge(xcom: Any, *args: object) -> None:  # noqa: ANN401, ARG004 - Airflow's signature
        """Remove the object of a result that Airflow deletes."""
        value = BaseXCom.deserialize_value(xcom)
        if ObjectReference.is_reference(value):
            from trip_duration.objects.store import remove_object

            remove_object(_checked(value))


def _root() -> UPath:
    return UPath(conf.get_mandatory_value(SECTION, "xcom_objectstorage_path"))


def _checked(value: dict[str, Any]) -> ObjectReference:
    """The reference, if it points below the configured path."""
    reference, root = ObjectReference.from_json(value), _root()
    path = UPath(reference.uri)
    if ".." in path.parts or path.protocol != root.protocol or not path.is_relative_to(root):
        raise StoredObjectError(
            f"The stored {reference.kind} {reference.uri}",
            f"does not lie under {root}",
            "Set [common.io] xcom_objectstorage_path to where results were written.",
        )
    return reference


def _is_large_json(value: object) -> bool:
    try:
        encoded = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        # Dates and Airflow's own objects, which its serializers know.
        return False
    return len(encoded) > get_settings().xcom_inline_bytes
