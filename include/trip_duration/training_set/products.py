"""Finished training sets, kept so that the next consumer need not rebuild them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from upath import UPath

from trip_duration.objects import ObjectReference, read_object, write_object
from trip_duration.objects.store import write_bytes
from trip_duration.training_set.types import TrainingSet

_FOLDER = "products/training_set"


@dataclass(frozen=True)
class TrainingSetProduct:
    """A finished training set in the store.

    Parameters
    ----------
    key
        Digest of what was asked for.
    digest
        Digest of the training set.
    created
        When it was published, in seconds since the epoch.
    reference
        Where it is.
    """

    key: str
    digest: str
    created: float
    reference: ObjectReference

    def load(self) -> TrainingSet:
        """Read the training set.

        Raises
        ------
        StoredObjectError
            If the object is missing or was altered.
        """
        loaded: TrainingSet = read_object(self.reference)
        return loaded


class TrainingSetStore:
    """The finished training sets under a storage root.

    Parameters
    ----------
    storage_root
        ``file://`` or ``s3://`` address.
    """

    def __init__(self, storage_root: str) -> None:
        self.folder = UPath(storage_root) / _FOLDER

    def publish(self, training_set: TrainingSet) -> TrainingSetProduct:
        """Keep a training set; from now on `find` returns it for the same request."""
        reference = write_object(training_set, self.folder / "objects", "training_set")
        key = training_set.request.key
        product = TrainingSetProduct(key, training_set.digest, time.time(), reference)
        entry = {
            "key": key,
            "digest": product.digest,
            "created": product.created,
            "reference": reference.to_json(),
        }
        write_bytes(self._entry(key), json.dumps(entry, indent=2).encode())
        return product

    def find(self, key: str, *, max_age_seconds: float) -> TrainingSetProduct | None:
        """The training set with this key, unless it is missing or older than *max_age_seconds*."""
        path = self._entry(key)
        if not path.exists():
            return None
        entry = json.loads(path.read_bytes())
        if time.time() - entry["created"] > max_age_seconds:
            return None
        reference = ObjectReference.from_json(entry["reference"])
        if not UPath(reference.uri).exists():
            return None
        return TrainingSetProduct(entry["key"], entry["digest"], entry["created"], reference)

    def _entry(self, key: str) -> UPath:
        return self.folder / f"{key}.json"
