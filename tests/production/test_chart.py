"""The values for Airflow's Helm chart, as far as they can be tried without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.production.compose import ROOT, START_SECONDS, filled, services
from tests.production.programs import BIN, run

VALUES = ROOT / "deploy" / "kubernetes" / "values.yaml"
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


@pytest.fixture(name="values", scope="module")
def values_of_the_chart() -> dict[str, Any]:
    """What the chart is told."""
    found: dict[str, Any] = yaml.safe_load(VALUES.read_text())
    return found


def test_the_chart_knows_what_is_set(values: dict[str, Any]) -> None:
    """Every value is one of the chart's, of its type; contexts are such as Kubernetes knows."""
    schema = str(Path(__file__).with_name("chart.schema.json"))
    run(str(BIN / "check-jsonschema"), "--schemafile", schema, str(VALUES))
    pod, container = (values["securityContexts"][one] for one in ("pod", "containers"))
    spec = {"securityContext": pod, "containers": [{"name": "a", "securityContext": container}]}
    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec},
        "1.34.0",
        strict=True,
    )


def test_the_chart_is_set_as_the_compose_file(values: dict[str, Any]) -> None:
    """What compose and the image tell Airflow, the values of the chart tell it too."""
    told = {one["name"]: one["value"] for one in values["env"]} | {
        f"AIRFLOW__{section.upper().replace('.', '_')}__{option.upper()}": str(value)
        for section, options in values["config"].items()
        for option, value in options.items()
    }
    compose = services()["worker"]["environment"]
    expected = {
        name: filled(value, {})
        for name, value in compose.items()
        if name.startswith(("AIRFLOW__", "OTEL_")) and name not in OF_THE_CHART
    }
    # Each installation has an address of its own.
    expected["AIRFLOW__API__BASE_URL"] = told["AIRFLOW__API__BASE_URL"]
    assert expected.items() <= told.items()
    image = (ROOT / "Dockerfile").read_text()
    for option in ("dags_folder", "plugins_folder", "load_examples", "xcom_backend"):
        assert f"AIRFLOW__CORE__{option.upper()}={values['config']['core'][option]} " in image
    assert f"apache-airflow=={values['airflowVersion']}" in (
        ROOT / "requirements" / "constraints.txt"
    ).read_text().split("\n")
    (large,) = values["workers"]["celery"]["sets"]
    assert large["queue"] == told["TRIP_DURATION_TRAINING_QUEUE"]
    assert large["terminationGracePeriodSeconds"] == int(
        compose["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"]
    )


def test_the_chart_starts_what_is_in_the_image(values: dict[str, Any]) -> None:
    """Airflow's own image has programs that ours has not: their places are taken by commands."""
    celery = values["workers"]["celery"]
    compose = services()
    beside = {
        "airflow-scheduler": values["scheduler"],
        "airflow-dag-processor": values["dagProcessor"],
        "airflow-triggerer": values["triggerer"],
        "worker": celery,
    }
    for name, part in beside.items():
        command = part["livenessProbe"]["command"]
        asked = compose[name]["healthcheck"]["test"]
        if asked[0] == "CMD-SHELL":
            assert command == ["sh", "-c", f"exec {asked[1]}".replace("$$", "$")]
        elif "check" in asked:
            assert command == asked[1:]
        else:
            # Compose asks the scheduler over HTTP, the chart only by a command.
            assert command == ["airflow", "jobs", "check", "--job-type", "SchedulerJob", "--local"]
        assert not part["logGroomerSidecar"]["enabled"]
    serving = compose["airflow-api-server"]["command"]
    options = serving[serving.index("--workers") :]
    assert values["apiServer"]["args"][-1] == " ".join(["exec airflow api-server", *options])


def test_a_slow_start_is_waited_for(values: dict[str, Any]) -> None:
    """What the chart would kill after a minute may take as long as compose waits for it."""
    for name in ("apiServer", "scheduler"):
        probe = values[name]["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] >= START_SECONDS, name


def test_logs_go_where_the_chart_mounts_their_volume(values: dict[str, Any]) -> None:
    """The chart mounts it at ``logs`` below Airflow's home; elsewhere they end with the pod."""
    logs = f"{values['airflowHome']}/logs"
    assert f"AIRFLOW__LOGGING__BASE_LOG_FOLDER={logs} " in (ROOT / "Dockerfile").read_text()
