"""The process that the api-server asks for what is not light to know; see `worker`.

MLflow's client brings pandas and Arrow along: the api-server, which people look at, does not pay
for them.
"""

from __future__ import annotations

from mlflow import MlflowClient

from model_loop.dashboard.runs import Runs
from model_loop.dashboard.types import LearnedColumn, RegistryState
from model_loop.dashboard.worker import serve_lookups
from model_loop.datasets.registry import dataset_of_variant
from model_loop.monitoring.health.stored import champion_of, products_of
from model_loop.monitoring.health.types import Champion, Product
from model_loop.settings import Settings, get_settings
from model_loop.tracking.experiments import tracker_of
from model_loop.tracking.versions import ModelVersions


class Lookups:
    """Lookups that the worker process answers, by the settings of the environment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.runs = Runs(MlflowClient(settings.tracking_uri), settings.experiment)

    def registry(self, service: str) -> RegistryState:
        """The versions of a service, how they stand, and what was done."""
        return self.runs.registry(self._versions(service))

    def champion(self, service: str) -> Champion:
        """The version that answers."""
        # The pages do not wait until this is imported.
        return champion_of(self._versions(service))

    def products(self) -> tuple[Product, ...]:
        """The data products."""
        return products_of(self._settings.storage_root)

    def learned(self, service: str, version: str) -> dict[str, LearnedColumn]:
        """Columns of the rows that a version has learned from, by field."""
        from model_loop.dashboard.learned import learned_columns  # noqa: PLC0415 - it loads what models are made of

        return learned_columns(self._versions(service).tracker, service, int(version))

    def _versions(self, service: str) -> ModelVersions:
        settings, dataset = self._settings, dataset_of_variant(service)
        tracker = tracker_of(dataset, settings.tracking_uri, settings.experiment, "promotion")
        return ModelVersions(tracker, service)


def main() -> None:
    """Answer until the input ends."""
    lookups = Lookups(get_settings())
    runs = lookups.runs
    answered = (
        runs.families, runs.partitions, runs.windows, runs.trials, runs.document,
        lookups.registry, lookups.champion, lookups.products, lookups.learned,
    )  # fmt: skip
    serve_lookups({one.__name__: one for one in answered})


if __name__ == "__main__":
    main()
