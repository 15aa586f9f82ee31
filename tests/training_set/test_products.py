"""Finished training sets in the store."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.conftest import sample_request

from trip_duration.errors import StoredObjectError
from trip_duration.training_set.products import TrainingSetStore
from trip_duration.training_set.types import TrainingSet


def test_published_is_found_again(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """What was published for a request is found for the same request, and is the same."""
    store = TrainingSetStore(str(tmp_path))
    published = store.publish(sample_training_set)
    found = store.find(sample_request().key, max_age_seconds=60)
    assert found == published
    assert found.load().digest == sample_training_set.digest


def test_other_requests_find_nothing(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """Another request does not get somebody else's training set."""
    store = TrainingSetStore(str(tmp_path))
    store.publish(sample_training_set)
    other = dataclasses.replace(sample_request(), recipe="booking")
    assert store.find(other.key, max_age_seconds=60) is None


def test_too_old_is_not_found(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """A training set beyond the allowed age is not used; 0 never uses one."""
    store = TrainingSetStore(str(tmp_path))
    store.publish(sample_training_set)
    assert store.find(sample_request().key, max_age_seconds=0) is None


def test_lost_object_is_not_found(sample_training_set: TrainingSet, tmp_path: Path) -> None:
    """An entry whose object is gone counts as missing, so that it is built again."""
    store = TrainingSetStore(str(tmp_path))
    published = store.publish(sample_training_set)
    Path(published.reference.uri.removeprefix("file://")).unlink()
    assert store.find(sample_request().key, max_age_seconds=60) is None
    with pytest.raises(StoredObjectError, match="is gone"):
        published.load()
