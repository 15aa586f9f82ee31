"""The versions of one variant in the registry: their moments, and how they stand."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import get_model_info

from model_loop.datasets.dataset import Moment
from model_loop.datasets.registry import dataset_of_model, find_variant
from model_loop.errors import InvalidInputError
from model_loop.tracking.deployments import (
    MOMENT_TAG,
    RETIRED_TAG,
    MomentUnknownError,
    Standings,
    alias_in_use,
    alias_of,
    declared_moment,
    log_once,
    standings_of,
)
from model_loop.tracking.downloads import ABSENT, refuse_absent
from model_loop.tracking.moments import MomentLookUps
from model_loop.tracking.runs import Tracker

logger = logging.getLogger(__name__)

#: Seconds for the store of a version that is asked for, and for those of others in all.
_SECONDS = 20.0
#: Databases keep no larger number; asked for one, the server fails, and its client tries for long.
_LARGEST = 2**31 - 1


def find_standings(
    client: MlflowClient,
    name: str,
    moment_of: Callable[[int], Moment],
    moments: Sequence[Moment],
    before: Standings | None = None,
    tell: Callable[[str], None] = log_once,
) -> Standings:
    """Return how the versions of a registered model stand now; nothing answers if there is none.

    Parameters
    ----------
    moment_of, moments, before, tell
        See `standings_of`.
    """
    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        return standings_of({}, {}, moment_of, moments)
    return standings_of(model.aliases, model.tags, moment_of, moments, before, tell)


def find_moment(client: MlflowClient, name: str, version: int) -> Moment:
    """Return the moment at which a version can be asked.

    By its tags, or else by the columns of its signature. A version of which nothing is known counts
    as asked at the last moment: nothing says that its columns are known earlier.

    Raises
    ------
    mlflow.exceptions.MlflowException
        If it is not in the registry, or the server does not answer.
    InvalidInputError
        If its tag names no moment.
    MomentUnknownError
        If it has no tag, and its model cannot be read.
    """
    dataset = dataset_of_model(name)
    declared = declared_moment(client.get_model_version(name, str(version)).tags, dataset)
    if declared:
        return declared
    columns = _signature_columns(client, name, version)
    return dataset.moments[-1] if columns is None else dataset.moment_of(columns)


def _signature_columns(client: MlflowClient, name: str, version: int) -> list[str] | None:
    """Return the columns of a version's signature; None if it has none.

    Raises
    ------
    MomentUnknownError
        If its model cannot be read.
    """
    # The registry is looked for at MLflow's global address.
    mlflow.set_tracking_uri(client.tracking_uri)
    try:
        signature = get_model_info(f"models:/{name}/{version}").signature
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        return None
    except Exception as error:
        # Each kind of store raises errors of its own, and anything may lie there.
        raise MomentUnknownError.of(name, version, str(error).partition("\n")[0][:200]) from error
    return list(signature.inputs.input_names()) if signature else None


class ModelVersions:
    """Looks up the versions of one variant.

    Parameters
    ----------
    tracker
        Its server holds the registry.
    service
        Key of the variant.
    patience
        Seconds that stores which do not answer are waited for in all, where others than the version
        that is asked for are looked at.
    """

    def __init__(self, tracker: Tracker, service: str, patience: float = _SECONDS) -> None:
        self.tracker = tracker
        self.service = service
        self.dataset, variant = find_variant(service)
        self.name = variant.model_name
        #: The moment of a version never changes.
        self._moments: dict[int, Moment] = {}
        self._patience = patience
        self._look_ups = MomentLookUps(
            self.name, lambda version: find_moment(tracker.client, self.name, version)
        )

    def standings(self) -> Standings:
        """Return the current standing at each moment; nothing answers if there is no version."""
        client, moments = self.tracker.client, self.dataset.moments
        return find_standings(client, self.name, self._moment_of_other, moments)

    def needs(self, version: int) -> frozenset[str] | None:
        """Return the columns without which a version cannot answer.

        None if nothing tells: it has no signature, or its model cannot be read.

        Raises
        ------
        mlflow.exceptions.MlflowException
            If the server does not answer.
        """
        try:
            columns = _signature_columns(self.tracker.client, self.name, version)
        except MomentUnknownError as error:
            logger.warning("Nothing tells what version %d needs: %s", version, error)
            return None
        if columns is None:
            return None
        return self.dataset.columns.required.intersection(columns)

    def moment(self, version: int) -> Moment:
        """Return the moment at which a version can be asked; see `find_moment`.

        Raises
        ------
        InvalidInputError
            If it is not in the registry, or its tag names no moment.
        MomentUnknownError
            If it has no tag, and its model cannot be read.
        """
        return self._look_up(version, _SECONDS)

    def known_moment(self, version: int) -> Moment | None:
        """Return the same; None of a version that is in the registry no longer, or is not ours."""
        try:
            return self._moment_of_other(version)
        except (InvalidInputError, MomentUnknownError):
            return None

    def _moment_of_other(self, version: int) -> Moment:
        """Return the same, but do not wait for one store after the other."""
        began = time.monotonic()
        try:
            return self._look_up(version, self._patience)
        except MomentUnknownError:
            self._patience -= time.monotonic() - began
            raise

    def _look_up(self, version: int, seconds: float) -> Moment:
        if version not in self._moments:
            declared = declared_moment(self.find(version).tags, self.dataset)
            until = time.monotonic() + seconds
            self._moments[version] = declared or self._look_ups.moment(version, until)
        return self._moments[version]

    def require_known_champion(self, moment: Moment) -> None:
        """Refuse to take an unknown champion for a missing one.

        Raises
        ------
        InvalidInputError
            If the alias of the champion names a version whose moment is not known.
        """
        aliases = self.tracker.client.get_registered_model(self.name).aliases
        try:
            alias_in_use("champion", moment, aliases, self.moment, self.dataset.moments)
        except (InvalidInputError, MomentUnknownError) as error:
            moments, why = self.dataset.moments, f"{error.given} {error.rule}"
            alias = alias_of("champion", moments[0], moments)
            raise InvalidInputError(
                f"Version {aliases[alias]} of {self.name}",
                f"has the alias {alias}, and its moment cannot be determined ({why})",
                f"Remove the alias, or give the version the tag {MOMENT_TAG}.",
            ) from error

    def find(self, version: int) -> ModelVersion:
        """Return what the registry holds of a version.

        Raises
        ------
        InvalidInputError
            If it is not in the registry.
        """
        absent = InvalidInputError(
            f"Version {version} of {self.name}",
            "is not in the registry",
            "Look up the version on the page of the registered model.",
        )
        if abs(version) > _LARGEST:
            raise absent
        with refuse_absent(absent):
            return self.tracker.client.get_model_version(self.name, str(version))

    def require_any(self) -> None:
        """Refuse a service of which nothing is registered.

        Raises
        ------
        InvalidInputError
            If nothing is.
        """
        absent = InvalidInputError(
            f"Service {self.service}", "has no model yet", "Train a model first."
        )
        with refuse_absent(absent):
            self.tracker.client.get_registered_model(self.name)

    def require_usable(self, version: int) -> None:
        """Refuse a version that may not answer.

        Raises
        ------
        InvalidInputError
            If it is not in the registry, or was retired.
        """
        if RETIRED_TAG in self.find(version).tags:
            raise InvalidInputError(
                f"Version {version} of {self.name}", "was retired", "Choose another version."
            )
