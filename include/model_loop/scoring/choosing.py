"""The version that a caller names, or means without naming it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from model_loop.datasets.dataset import Dataset, Moment
from model_loop.datasets.registry import dataset_of_variant
from model_loop.scoring.predictor import Predictor, find_predictor, parse_model
from model_loop.settings import get_settings
from model_loop.tracking.experiments import tracker_of
from model_loop.tracking.registry import Load, load_registered
from model_loop.tracking.versions import ModelVersions


def choose_predictor(
    key: str,
    given: Callable[[Dataset], Collection[str]],
    tracking_uri: str,
    model: str | None = None,
    moment: str | None = None,
    load: Load = load_registered,
) -> tuple[Predictor, Moment]:
    """Return the version that is to answer rows, and its moment; see `find_predictor`.

    Parameters
    ----------
    key
        Key of the variant.
    model
        Version, as `parse_model` reads it.
    moment
        Moment of the champion, where no model is named.
    load
        Loads a version.

    Raises
    ------
    InvalidInputError
        If there is none.
    """
    asked = None if moment is None else dataset_of_variant(key).check_moment(moment)
    named = None if model is None else parse_model(model, key)
    service = named.service if named else key
    dataset = dataset_of_variant(service)
    tracker = tracker_of(dataset, tracking_uri, get_settings().experiment, "promotion")
    versions = ModelVersions(tracker, service)
    number = named.number(versions) if named else None
    predictor = find_predictor(versions, given, number=number, moment=asked, load=load)
    return predictor, versions.moment(predictor.version.number)
