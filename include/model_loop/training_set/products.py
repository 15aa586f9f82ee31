"""Finished training sets, kept so that the next consumer need not rebuild them.

A product's key says what it is made of: the digests of its files, what was asked for, and the
versions of contract and cleaning. A second index leads from a request to the product that was last
found to answer it, with the time when the source was last looked at: its age.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from upath import UPath

from model_loop.datasets.dataset import Dataset, Moment
from model_loop.errors import InvalidInputError
from model_loop.objects import ObjectReference, read_object, write_object
from model_loop.objects.documents import read_document, record_of, text_of
from model_loop.objects.store import remove_object, write_bytes
from model_loop.sources.origin import data_source_of
from model_loop.training_set.request import PreparationRequest
from model_loop.training_set.split import PARTS
from model_loop.training_set.types import TrainingSet, partitions_of


class HasDigest(Protocol):
    """A file that is identified by its content."""

    @property
    def digest(self) -> str:
        """Digest (sha256, hex) of the content."""


_FOLDER = "products/training_set"
_REQUESTS = "requests"
_ERASED = "erased"


@dataclass(frozen=True)
class TrainingSetProduct:
    """A finished training set in the store.

    Parameters
    ----------
    key
        Digest of everything that it is made of.
    digest
        Digest of the training set itself.
    created
        Time of publication, in seconds since the epoch.
    request
        Request for the training set.
    files
        The files that went in.
    rows
        Number of rows in each part.
    reference
        Reference to the stored object.
    parts
        Keys of the partitions of each part of a declared table; empty of months.
    """

    key: str
    digest: str
    created: float
    #: `PreparationRequest`; code of the dataset knows which.
    request: Any
    #: `SourceFile`, or as the dataset has it.
    files: tuple[Any, ...]
    rows: Mapping[str, int]
    reference: ObjectReference
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def moment(self) -> Moment:
        """The moment at which models of the recipe are asked."""
        dataset: Dataset = self.request.dataset
        return dataset.recipe(self.request.recipe).moment

    def uses(self) -> dict[str, str]:
        """Return the first part that has rows of each partition, by its key."""
        found: dict[str, str] = {}
        for part in PARTS:
            for key in partitions_of(self.request, self.parts, part):
                found.setdefault(key, part)
        return found

    @property
    def span(self) -> str:
        """The first and the last partition: ``2024-01..2024-03``."""
        keys = sorted(self.uses())
        return "..".join(dict.fromkeys([*keys[:1], *keys[-1:]]))

    @property
    def data_source(self) -> str:
        """Source of the files: ``sample`` as soon as one of them is generated."""
        return data_source_of(self.files)

    def load(self) -> TrainingSet:
        """Read the training set.

        Raises
        ------
        StoredObjectError
            If the object is missing or was altered.
        """
        loaded: TrainingSet = read_object(self.reference)
        return loaded


def product_key(request: PreparationRequest, files: Sequence[HasDigest]) -> str:
    """Digest (sha256, hex) of everything that a training set is made of."""
    content = [request.content_key, request.contract_version, [file.digest for file in files]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True)
class RequestRecord:
    """The product that answers a request.

    Parameters
    ----------
    product
        Its key.
    verified
        Time of the last check of its source, in seconds since the epoch.
    """

    product: str
    verified: float


@dataclass(frozen=True)
class ErasedSet:
    """Mark of a training set of which rows were erased.

    Parameters
    ----------
    digest
        Its digest.
    at
        Time of the erasure, in seconds since the epoch.
    """

    digest: str
    at: float


class TrainingSetStore:
    """The finished training sets under a storage root.

    Parameters
    ----------
    storage_root
        ``file://`` or ``s3://`` address.
    """

    def __init__(self, storage_root: str) -> None:
        self.folder = UPath(storage_root) / _FOLDER

    def publish(
        self, training_set: TrainingSet, asked: PreparationRequest | None = None
    ) -> TrainingSetProduct:
        """Keep a training set; from now on it is found for the same request.

        Parameters
        ----------
        asked
            Request that it answers, where that has left open what its own request says.
        """
        request, files = training_set.request, training_set.files
        key = product_key(request, files)
        product = TrainingSetProduct(
            key=key,
            digest=training_set.digest,
            created=time.time(),
            request=request,
            files=files,
            rows=training_set.rows,
            reference=write_object(training_set, self.folder, key[:16]),
            parts=training_set.parts,
        )
        # The object is there before the entry that names it: a killed task leaves no half product.
        write_bytes(self._entry(key), text_of(product).encode())
        for answered in (request, asked):
            if answered is not None:
                self.renew(product, answered)
        return product

    def renew(self, product: TrainingSetProduct, request: PreparationRequest) -> None:
        """Note that a product answers a request as of now, because its source has not changed."""
        answer = RequestRecord(product.key, time.time())
        write_bytes(self._request(request), text_of(answer).encode())

    def find_fresh(
        self, request: PreparationRequest, *, max_age_seconds: float
    ) -> TrainingSetProduct | None:
        """The product that answers a request, if its source was looked at recently enough.

        The source is not asked again.
        """
        answer = read_document(self._request(request), _answer)
        if answer is None or time.time() - answer.verified > max_age_seconds:
            return None
        return self.get(answer.product)

    def find(
        self, request: PreparationRequest, files: Sequence[HasDigest]
    ) -> TrainingSetProduct | None:
        """The product that is made of these very files, however old it is."""
        return self.get(product_key(request, files))

    def get(self, key: str) -> TrainingSetProduct | None:
        """A product by its key; None if it, or its object, is gone."""
        product = read_document(
            self._entry(key), lambda stored: record_of(TrainingSetProduct, stored)
        )
        return product if product and UPath(product.reference.uri).exists() else None

    def products(self) -> list[TrainingSetProduct]:
        """All products, the newest first."""
        keys = (entry.stem for entry in self.folder.glob("*.json")) if self.folder.exists() else ()
        found = [product for key in keys if (product := self.get(key)) is not None]
        return sorted(found, key=lambda product: -product.created)

    def resolve(self, key: str) -> TrainingSetProduct:
        """Return a product by the beginning of its key or of its digest.

        The digest is the tag `training_set` of every model and run that was made from it.

        Raises
        ------
        InvalidInputError
            If no product, or more than one, has such a key or digest.
        """
        products = self.products()
        # Products of the same files and another request may hold the very same training set.
        found = [product for product in products if product.key.startswith(key)] or [
            product for product in products if product.digest.startswith(key)
        ]
        if len(found) == 1:
            return found[0]
        which = "is not a product"
        if found:
            which = f"stands for {len(found)}: {', '.join(product.key for product in found)}"
        raise InvalidInputError(
            f"Product {key!r}", which, "List the products: model-loop products list."
        )

    def last_verified(self) -> dict[str, float]:
        """Return the last time each product was found to answer a request (Unix seconds)."""
        times: dict[str, float] = {}
        folder = self.folder / _REQUESTS
        for path in folder.glob("*.json") if folder.exists() else ():
            if (answer := read_document(path, _answer)) is not None:
                times[answer.product] = max(times.get(answer.product, 0.0), answer.verified)
        return times

    def remove(self, product: TrainingSetProduct) -> None:
        """Remove a product; its entry first, so that nobody finds what is about to go."""
        self._entry(product.key).unlink(missing_ok=True)
        remove_object(product.reference)

    def erase(self, product: TrainingSetProduct) -> None:
        """Remove a product of which rows were erased, and note its digest first."""
        mark = ErasedSet(product.digest, time.time())
        write_bytes(self._erased(product.digest), text_of(mark).encode())
        self.remove(product)

    def erased(self, digest: str) -> float | None:
        """Return when rows of a training set were erased (Unix seconds); None if none were."""
        mark = read_document(self._erased(digest), lambda stored: record_of(ErasedSet, stored))
        return None if mark is None else mark.at

    def _erased(self, digest: str) -> UPath:
        return self.folder / _ERASED / f"{digest}.json"

    def _entry(self, key: str) -> UPath:
        return self.folder / f"{key}.json"

    def _request(self, request: PreparationRequest) -> UPath:
        return self.folder / _REQUESTS / f"{request.key}.json"


def _answer(stored: dict[str, Any]) -> RequestRecord:
    return record_of(RequestRecord, stored)
