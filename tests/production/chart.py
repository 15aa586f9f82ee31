"""Objects for Kubernetes: Airflow's chart, rendered by Helm, and the manifests beside it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import helm_python
import yaml
from tests.production.compose import ROOT

CHART = Path(__file__).parent / "charts" / "airflow-1.22.0.tgz"
KUBERNETES = ROOT / "deploy" / "kubernetes"
VALUES = KUBERNETES / "values.yaml"
MANIFESTS = tuple(
    KUBERNETES / f"{name}.yaml" for name in ("cluster", "mlflow", "runner", "serving")
)
#: As in the command of docs/how-to/production.md.
RELEASE, NAMESPACE = "airflow", "model-loop"

Object = Mapping[str, Any]


class Container(NamedTuple):
    """A container of a pod.

    Parameters
    ----------
    owner
        Kind and name of the object whose pods have it.
    told
        The container, as Kubernetes is told.
    pod
        Specification of its pods.
    ends
        Whether it is expected to end: an init container, or one of a job.
    """

    owner: str
    told: Object
    pod: Object
    ends: bool

    @property
    def name(self) -> str:
        """Name of the owner, and its own."""
        return f"{self.owner}/{self.told['name']}"

    @property
    def command(self) -> Sequence[str]:
        """Its whole command: the image has no entry point."""
        return [*self.told.get("command", ()), *self.told.get("args", ())]

    @property
    def user(self) -> tuple[int, int]:
        """Numbers of its user and group."""
        context = {**self.pod.get("securityContext", {}), **self.told.get("securityContext", {})}
        return context["runAsUser"], context["runAsGroup"]

    @property
    def mounts(self) -> Iterator[tuple[Object, Object]]:
        """Each mount, with the volume that it shows."""
        volumes = {one["name"]: one for one in self.pod.get("volumes", ())}
        for mount in self.told.get("volumeMounts", ()):
            yield mount, volumes[mount["name"]]

    @property
    def probes(self) -> Mapping[str, Object]:
        """Its probes by their names."""
        names = ("startupProbe", "livenessProbe", "readinessProbe")
        return {name: self.told[name] for name in names if name in self.told}


@functools.cache
def values() -> Object:
    """Return the values of the chart."""
    found: Object = yaml.safe_load(VALUES.read_text())
    return found


@functools.cache
def objects() -> tuple[Object, ...]:
    """All that Kubernetes is given: what the chart makes, and the manifests.

    Raises
    ------
    helm_python.HelmError
        If a value is not one of the chart's.
    """
    chart = helm_python.Chart.load(CHART)
    chart.validate_schema(dict(values()))
    files = chart.render(dict(values()), name=RELEASE, namespace=NAMESPACE, is_install=True)
    texts = [text for path, text in files.items() if path.endswith((".yaml", ".yml"))]
    texts += [path.read_text() for path in MANIFESTS]
    return tuple(one for text in texts for one in yaml.safe_load_all(text) if one)


def containers() -> Iterator[Container]:
    """Every container that is run, in the order of the objects."""
    for one in objects():
        spec = one.get("spec", {})
        # A cron job holds the job that it makes.
        pod = spec.get("jobTemplate", {}).get("spec", spec).get("template", {}).get("spec")
        if pod is not None:
            owner = f"{one['kind']}/{one['metadata']['name']}"
            for told in pod.get("initContainers") or ():
                yield Container(owner, told, pod, ends=True)
            for told in pod["containers"]:
                yield Container(owner, told, pod, ends=one["kind"] in {"Job", "CronJob"})


def config_maps() -> Mapping[str, Mapping[str, str]]:
    """Texts of the config maps by name and key."""
    return {one["metadata"]["name"]: one["data"] for one in objects() if one["kind"] == "ConfigMap"}
