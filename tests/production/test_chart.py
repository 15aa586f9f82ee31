"""Containers of Kubernetes, as Helm renders them, against the image and docker-compose.yaml."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import kubernetes_validate
import pytest
from tests.production.compose import ROOT, START_SECONDS, filled, services
from tests.production.contents import installed

pytest.importorskip("helm_python", reason="Helm is not installed")

from tests.production.chart import CHART, config_maps, containers, objects, values

if TYPE_CHECKING:
    from tests.production.chart import Container

DOCKERFILE = (ROOT / "Dockerfile").read_text()
OUR_IMAGE = "registry.example.com/model-loop:"
#: What compose says and the chart says by itself, or from a secret that it is given.
OF_THE_CHART = {
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__RESULT_BACKEND",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__CORE__EXECUTOR",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
    # Asked by commands there.
    "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK",
}
#: The chart mounts it into each scheduler and makes it for Kubernetes' executor alone: elsewhere
#: there is an empty folder, which nobody reads.
NOT_MADE = "pod_template_file.yaml"
#: Programs of the base image.
BASE = {"bash", "sh", "python"}
#: Containers of the chart and the compose services that run the same.
SAME = {
    "Deployment/airflow-api-server/api-server": "airflow-api-server",
    "Deployment/airflow-scheduler/scheduler": "airflow-scheduler",
    "Deployment/airflow-dag-processor/dag-processor": "airflow-dag-processor",
    "StatefulSet/airflow-triggerer/triggerer": "airflow-triggerer",
    "Deployment/airflow-worker/worker": "worker",
    "Deployment/airflow-worker-training/worker": "worker",
    "Deployment/runner/runner": "runner",
    "Deployment/serving/serving": "serving",
    "Deployment/mlflow/mlflow": "mlflow",
    "Deployment/dask-scheduler/scheduler": "dask-scheduler",
    "Deployment/dask-worker/worker": "dask-worker",
}
CONTAINERS = {one.name: one for one in containers()}


def words(command: Sequence[str]) -> list[str]:
    """Return the words of a command that a shell is given, or the command itself."""
    if command[:2] in (["bash", "-c"], ["sh", "-c"]):
        return command[2].replace("\\\n", "").removeprefix("exec ").split()
    return [*command]


def options(command: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the options of a command, each with its value, if it has one."""
    yield from re.findall(r"(--?[a-z][a-z-]*)(?: ([^-\s]\S*))?", " ".join(command))


def programs() -> frozenset[str]:
    """Return the programs that the image has on its path."""
    scripts = (
        point.name
        for name in (*installed(), "model-loop")
        for point in importlib.metadata.distribution(name).entry_points
        if point.group == "console_scripts"
    )
    return frozenset(scripts) | BASE


@pytest.fixture(name="container", params=CONTAINERS)
def one_container(request: pytest.FixtureRequest) -> Container:
    """One container of the chart or of a manifest."""
    return CONTAINERS[request.param]


def test_the_chart_is_the_one_that_was_released() -> None:
    """Its digest stands beside it, and its version in the values."""
    digest = hashlib.sha256(CHART.read_bytes()).hexdigest()
    assert digest in CHART.with_name("README.md").read_text()
    version = CHART.stem.removeprefix("airflow-")
    assert f"--version {version}" in (ROOT / "deploy/kubernetes/values.yaml").read_text()
    assert f"--version {version}" in (ROOT / "docs/how-to/production.md").read_text()


def test_objects_are_such_as_kubernetes_knows() -> None:
    """All that is rendered; what KEDA reads is its own."""
    own = [one for one in objects() if not one["apiVersion"].startswith("keda.sh/")]
    assert {"Deployment", "Job", "NetworkPolicy", "Service", "StatefulSet"} <= {
        one["kind"] for one in own
    }
    for one in own:
        kubernetes_validate.validate(dict(one), "1.34.0", strict=True)


def test_every_part_of_airflow_is_there() -> None:
    """A service of the compose file that the chart lacks would be missing in a cluster."""
    assert SAME.keys() <= CONTAINERS.keys()
    ours = {name for name in services() if name.startswith("airflow-")} | {"worker", "serving"}
    assert ours <= {*SAME.values()}


def test_programs_are_in_the_image(container: Container) -> None:
    """Commands and probes name what the image has: Airflow's own image has more."""
    assert container.told["image"].startswith(OUR_IMAGE)
    named = [container.command]
    named += [it["exec"]["command"] for it in container.probes.values() if "exec" in it]
    for command in named:
        assert command[0] in programs()
        assert words(command)[0] in programs()


def test_users_are_the_images(container: Container) -> None:
    """Without rights, as the user that owns the image's folders; the runner as compose says."""
    user, group = container.user
    if container.name in SAME and "cap_add" in (compose := services()[SAME[container.name]]):
        assert f"{user}:{group}" == compose["user"]
        rights = container.told["securityContext"]["capabilities"]
        assert rights == {"drop": ["ALL"], "add": compose["cap_add"]}
        assert container.told["securityContext"]["allowPrivilegeEscalation"] is False
        return
    assert f"useradd --uid {user} --gid {group} " in DOCKERFILE
    context = container.told["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["allowPrivilegeEscalation"] is False
    assert container.pod["securityContext"]["runAsNonRoot"] is True


def test_mounts_hide_nothing_of_the_image(container: Container) -> None:
    """They are folders that wait for one, or files beside which there is none of the image's."""
    home = re.search(r"^ +HOME=(\S+)", DOCKERFILE, re.MULTILINE)
    assert home is not None
    writable = set(re.findall(r"(?:^| )(/var/lib/\S+?)(?: \\)?$", DOCKERFILE, re.MULTILINE))
    assert f"{home[1]}/logs" in writable
    for mount, volume in container.mounts:
        path = mount["mountPath"]
        hidden = [it for it in ("/opt/venv", "/opt/model-loop") if f"{it}/".startswith(f"{path}/")]
        assert hidden == []
        if "configMap" in volume:
            assert PurePosixPath(path).is_relative_to(home[1])
            known = config_maps()[volume["configMap"]["name"]]
            assert mount["subPath"] in {*known, NOT_MADE}
        elif path.startswith("/var/lib"):
            assert path in writable


def test_commands_are_those_of_the_compose_file() -> None:
    """Programs are the same, with every option that compose gives them."""
    for name, service in SAME.items():
        ours = words(CONTAINERS[name].command)
        theirs = services()[service]["command"]
        assert ours[:2] == theirs[:2], name
        # The chart binds by itself, and says in the configuration how many tasks a worker takes.
        given = dict(options(theirs))
        for option in ("--host", "--port", "--concurrency"):
            given.pop(option, None)
        assert given.items() <= dict(options(ours)).items(), name


def test_probes_ask_what_compose_asks() -> None:
    """Commands are the same; a start may take as long as compose waits for one."""
    for name, service in SAME.items():
        probes = CONTAINERS[name].probes
        asked = services()[service]["healthcheck"]["test"]
        live = probes["livenessProbe"]
        if "tcpSocket" in live:
            # Compose has to open a connection by itself.
            ports = [each["containerPort"] for each in CONTAINERS[name].told["ports"]]
            assert f"{ports[0]})" in asked[-1].replace("),", ")"), name
        elif asked[0] == "CMD-SHELL":
            told = ["sh", "-c", f"exec {asked[1]}".replace("$$", "$")]
            assert live["exec"]["command"] == told, name
        elif "check" in asked:
            assert live["exec"]["command"] == asked[1:], name
        elif "exec" in live:
            # Compose asks the scheduler over HTTP, the chart only by a command.
            told = ["airflow", "jobs", "check", "--job-type", "SchedulerJob", "--local"]
            assert live["exec"]["command"] == told, name
        first = probes.get("startupProbe", live)
        seconds = first.get("initialDelaySeconds", 0) + first["failureThreshold"] * first.get(
            "periodSeconds", 10
        )
        assert seconds >= START_SECONDS, name


def test_environments_are_those_of_the_compose_file() -> None:
    """Settings that compose and the image give Airflow are given by the chart, too."""
    told = {one["name"]: one.get("value") for one in values()["env"]} | {
        f"AIRFLOW__{section.upper().replace('.', '_')}__{option.upper()}": str(value)
        for section, options in values()["config"].items()
        for option, value in options.items()
    }
    compose = services()["worker"]["environment"]
    expected = {
        name: filled(value, {})
        for name, value in compose.items()
        if name.startswith(("AIRFLOW__", "OTEL_")) and name not in OF_THE_CHART
    }
    # Each installation has an address of its own.
    expected["AIRFLOW__API__BASE_URL"] = str(told["AIRFLOW__API__BASE_URL"])
    assert expected.items() <= told.items()
    for option in ("dags_folder", "plugins_folder", "load_examples", "xcom_backend"):
        assert (
            f"AIRFLOW__CORE__{option.upper()}={values()['config']['core'][option]} " in DOCKERFILE
        )
    constraints = (ROOT / "requirements" / "constraints.txt").read_text().split("\n")
    assert f"apache-airflow=={values()['airflowVersion']}" in constraints


def test_a_cluster_has_one_set_of_certificates() -> None:
    """Its members and those who send it work read the same files, where compose has them."""
    members = ("dask-scheduler/scheduler", "dask-worker/worker")
    for name in (*members, "airflow-worker-training/worker"):
        container = CONTAINERS[f"Deployment/{name}"]
        mounted = {
            mount["mountPath"]: volume.get("secret", {}).get("secretName")
            for mount, volume in container.mounts
        }
        assert mounted["/var/lib/model-loop/certificates"] == "model-loop-certificates"
    for name in members:
        told = {one["name"]: one["value"] for one in CONTAINERS[f"Deployment/{name}"].told["env"]}
        compose = services()[name.partition("/")[0]]["environment"]
        wanted = {key: value for key, value in compose.items() if key.startswith("DASK_")}
        assert wanted
        assert told == wanted
    # A pod's own address: a port that opens for a fit is reached under its name.
    (service,) = (
        one
        for one in objects()
        if (one["kind"], one["metadata"]["name"]) == ("Service", "dask-scheduler")
    )
    assert service["spec"]["clusterIP"] == "None"


def test_the_runner_has_nothing_to_lose() -> None:
    """It is given the variables of compose and no secret but a digest, and reaches nothing."""
    runner = CONTAINERS["Deployment/runner/runner"]
    assert {one["name"] for one in runner.told["env"]} == {*services()["runner"]["environment"]}
    assert secrets_of(runner) == {"model-loop-runner": {"token-sha256"}}
    assert runner.pod["automountServiceAccountToken"] is False
    assert runner.told["securityContext"]["readOnlyRootFilesystem"] is True
    (policy,) = (
        one["spec"]
        for one in objects()
        if (one["kind"], one["metadata"]["name"]) == ("NetworkPolicy", "runner")
    )
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    (environments,) = (one for one, _ in runner.mounts if one["name"] == "environments")
    assert environments["readOnly"] is True


def test_secrets_are_those_of_the_page(container: Container) -> None:
    """Secrets that a container asks for are those that the page tells an administrator to make."""
    page = (ROOT / "docs" / "how-to" / "production.md").read_text()
    for name, keys in secrets_of(container).items():
        (row,) = re.findall(rf"^\| .*`{name}`.* \|$", page, re.MULTILINE)
        assert all(f"`{key}`" in row for key in keys), (name, keys)


def secrets_of(container: Container) -> Mapping[str, set[str]]:
    """Return the names and keys of the secrets that a container asks for."""
    found: dict[str, set[str]] = {}
    for one in container.told.get("envFrom", ()):
        found.setdefault(one["secretRef"]["name"], set())
    for one in container.told.get("env", ()):
        if "secretKeyRef" in one.get("valueFrom", {}):
            asked = one["valueFrom"]["secretKeyRef"]
            found.setdefault(asked["name"], set()).add(asked["key"])
    for _, volume in container.mounts:
        if "secret" in volume:
            found.setdefault(volume["secret"]["secretName"], set())
    return found


def test_workers_end_what_they_have_begun() -> None:
    """Large ones have as long as a task is kept from others, and take trainings."""
    (large,) = values()["workers"]["celery"]["sets"]
    pod = CONTAINERS["Deployment/airflow-worker-training/worker"].pod
    compose = services()["worker"]["environment"]
    kept = compose["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"]
    assert pod["terminationGracePeriodSeconds"] == int(kept)
    told = {one["name"]: one.get("value") for one in values()["env"]}
    assert large["queue"] == told["MODEL_LOOP_TRAINING_QUEUE"]
    assert words(CONTAINERS["Deployment/airflow-worker-training/worker"].command)[-2:] == [
        "-q",
        large["queue"],
    ]
