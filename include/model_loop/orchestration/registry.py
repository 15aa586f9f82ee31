"""The registry of models, for tasks: which versions there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_loop.datasets.dataset import Moment
from model_loop.datasets.registry import dataset_of_variant
from model_loop.orchestration.forms.fields import ANY_MOMENT
from model_loop.settings import get_settings
from model_loop.tracking.choosing import promoter_for
from model_loop.tracking.experiments import tracker_of
from model_loop.tracking.promotion import Promoter
from model_loop.tracking.runs import Tracker
from model_loop.tracking.versions import ModelVersions


def promoter_of(params: Mapping[str, Any], version: int | None = None) -> Promoter:
    """Return the promoter that a form asks for.

    Parameters
    ----------
    version
        The version that is moved, where the form does not name it.
    """
    version, moment = version or params["version"], moment_of_form(params)
    return promoter_for(
        _tracker(params["service"]), params["service"], params["action"], version, moment
    )


def moment_of_form(params: Mapping[str, Any]) -> Moment | None:
    """Return the moment that a form names; None where it leaves that open."""
    named = params.get("moment", ANY_MOMENT)
    if named == ANY_MOMENT:
        return None
    return dataset_of_variant(params["service"]).check_moment(named)


def versions_of(service: str) -> ModelVersions:
    """Return what looks up the versions of a service."""
    return ModelVersions(_tracker(service), service)


def _tracker(service: str) -> Tracker:
    settings, dataset = get_settings(), dataset_of_variant(service)
    return tracker_of(dataset, settings.tracking_uri, settings.experiment, "promotion")
