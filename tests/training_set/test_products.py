"""Finished training sets in the store."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from tests.conftest import sample_request

from model_loop.errors import InvalidInputError, StoredObjectError
from model_loop.training_set.products import TrainingSetStore
from model_loop.training_set.types import TrainingSet


def test_published_is_found_again(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """What was published for a request is found for the same request, and is the same."""
    store = TrainingSetStore(str(tmp_path))
    published = store.publish(sample_training_set)
    found = store.find_fresh(sample_request(), max_age_seconds=60)
    assert found == published
    assert found.load().digest == sample_training_set.digest


def test_other_requests_find_nothing(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """Another request does not get somebody else's training set."""
    store = TrainingSetStore(str(tmp_path))
    store.publish(sample_training_set)
    other = dataclasses.replace(sample_request(), recipe="booking")
    assert store.find_fresh(other, max_age_seconds=60) is None


def test_too_old_is_not_found(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """A training set whose source was not looked at lately is not used; 0 never uses one."""
    store = TrainingSetStore(str(tmp_path))
    store.publish(sample_training_set)
    assert store.find_fresh(sample_request(), max_age_seconds=0) is None


def test_lost_object_is_not_found(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """An entry whose object is gone counts as missing, so that it is built again."""
    store = TrainingSetStore(str(tmp_path))
    published = store.publish(sample_training_set)
    Path(published.reference.uri.removeprefix("file://")).unlink()
    assert store.find_fresh(sample_request(), max_age_seconds=60) is None
    with pytest.raises(StoredObjectError, match="is gone"):
        published.load()


def test_looking_at_the_source_makes_it_fresh(
    sample_training_set: TrainingSet, tmp_path: Path
) -> None:
    """A product is as old as the last look at its source, not as its making."""
    store = TrainingSetStore(str(tmp_path))
    product = store.publish(sample_training_set)
    age(store, seconds=1_000)
    assert store.find_fresh(sample_request(), max_age_seconds=500) is None
    store.renew(product, sample_request())
    found = store.find_fresh(sample_request(), max_age_seconds=500)
    assert found is not None
    assert found.key == product.key


def age(store: TrainingSetStore, *, seconds: float) -> None:
    """Let time pass for all products and requests of a store."""
    for path in store.folder.rglob("*.json"):
        content = json.loads(path.read_text())
        moment = "verified" if "verified" in content else "created"
        path.write_text(json.dumps(content | {moment: content[moment] - seconds}))


def test_same_months_from_elsewhere_are_the_same_product(
    sample_training_set: TrainingSet, tmp_path: Path
) -> None:
    """The key is made of what the months hold, not of where they were found."""
    store = TrainingSetStore(str(tmp_path))
    published = store.publish(sample_training_set)
    elsewhere = dataclasses.replace(sample_request(), source="https://example.com/months")
    months = [dataclasses.replace(month, url="elsewhere") for month in sample_training_set.files]
    assert store.find(elsewhere, months) == published
    changed = [dataclasses.replace(months[0], digest="0" * 64), *months[1:]]
    assert store.find(elsewhere, changed) is None


def test_published_twice_is_one_object(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """The same training set again replaces itself, and leaves nothing behind."""
    store = TrainingSetStore(str(tmp_path))
    first, second = (store.publish(sample_training_set) for _ in range(2))
    assert (first.key, first.digest) == (second.key, second.digest)
    assert store.products() == [second]


def test_resolves_the_beginning_of_a_key(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """A product is found by a few characters of its key; an unknown key is refused."""
    store = TrainingSetStore(str(tmp_path))
    product = store.publish(sample_training_set)
    assert store.resolve(product.key[:8]) == product
    with pytest.raises(InvalidInputError, match=r"is not a product.*products list"):
        store.resolve("0000")


@pytest.mark.parametrize("content", ["", "[1]", '{"product": 1}', '{"$dataclass": "gone"}'])
def test_damaged_entries_count_as_missing(
    sample_training_set: TrainingSet, tmp_path: Path, content: str
) -> None:
    """Entries and answers that cannot be read are moved aside, so that they are made again."""
    store = TrainingSetStore(str(tmp_path))
    published = store.publish(sample_training_set)
    entries = list(Path(store.folder.path).rglob("*.json"))
    assert len(entries) == 2
    for entry in entries:
        entry.write_text(content)
    assert store.last_verified() == {}
    assert store.products() == []
    assert store.find_fresh(sample_request(), max_age_seconds=60) is None
    assert len(list(Path(store.folder.path).rglob("*.json.unreadable-*"))) == 2
    assert store.publish(sample_training_set).key == published.key
    assert store.find_fresh(sample_request(), max_age_seconds=60) is not None
