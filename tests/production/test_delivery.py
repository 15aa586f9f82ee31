"""Kubernetes manifests, workflows and versioned DAG bundles, as far as they can be tried here."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.mutation import ROOMS, modules_of
from tests.production.compose import ROOT, START_SECONDS, filled, services
from tests.production.programs import BIN, run

KUBERNETES = ROOT / "deploy" / "kubernetes"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MANIFESTS = ("mlflow", "serving")


def manifests(name: str) -> list[dict[str, Any]]:
    """The resources of a file."""
    return list(yaml.safe_load_all((KUBERNETES / f"{name}.yaml").read_text()))


def only(kind: str, name: str) -> dict[str, Any]:
    """The one resource of a kind."""
    (found,) = (one for one in manifests(name) if one["kind"] == kind)
    return found


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_hold_to_the_schema_of_kubernetes(name: str) -> None:
    """Every resource is valid, with no field that Kubernetes does not know."""
    command = (str(BIN / "kubernetes-validate"), "--strict", "-k", "1.34.0")
    run(*command, str(KUBERNETES / f"{name}.yaml"))


@pytest.mark.parametrize("name", MANIFESTS)
def test_pods_are_hardened(name: str) -> None:
    """No pod runs as root, writes to its image, grows without a limit, or talks to the cluster."""
    pod = only("Deployment", name)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= START_SECONDS
    assert re.search(r":\d+\.\d+\.\d+$", container["image"])
    assert not any("PASSWORD" in one["name"] or "SECRET" in one["name"] for one in container["env"])


def test_serving_is_found_and_scaled() -> None:
    """Service, autoscaler, budget and network policy mean the pods of the deployment."""
    labels = only("Deployment", "serving")["spec"]["template"]["metadata"]["labels"]
    chosen = [
        only("Service", "serving")["spec"]["selector"],
        only("PodDisruptionBudget", "serving")["spec"]["selector"]["matchLabels"],
        only("NetworkPolicy", "serving")["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(one.items() <= labels.items() for one in chosen)
    target = only("HorizontalPodAutoscaler", "serving")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", "serving")


def test_workflows_hold_to_the_schema() -> None:
    """GitHub would read every workflow and the updates of dependencies."""
    command = str(BIN / "check-jsonschema")
    run(command, "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS))
    updates = str(ROOT / ".github" / "dependabot.yml")
    run(command, "--builtin-schema", "vendor.dependabot", updates)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_may_do_little(file: Path) -> None:
    """By default a workflow only reads; its jobs end; titles and names never reach a shell."""
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "uses" in job or job["timeout-minutes"] <= 90
        for step in job.get("steps", []):
            assert "${{" not in step.get("run", "")
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_workflows_run_targets_that_exist() -> None:
    """Every `make` target of a workflow exists; tests run on all Pythons of the package."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(file.read_text() for file in WORKFLOWS)
    for words in re.findall(r"run: make ([a-z -]+)$", text, re.MULTILINE):
        assert set(words.split()) <= targets
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    # Healthy containers alone say little: the loop runs in them.
    assert "make test-containers" in [one.get("run") for one in ci["jobs"]["image"]["steps"]]
    assert ci["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


def test_every_room_of_mutation_is_measured_weekly() -> None:
    """A room that was renamed would be measured no more; its modules and tests are there."""
    weekly = yaml.safe_load((ROOT / ".github" / "workflows" / "weekly.yml").read_text())
    assert sorted(weekly["jobs"]["mutation"]["strategy"]["matrix"]["room"]) == sorted(ROOMS)
    for name, room in ROOMS.items():
        assert modules_of(name) == room["modules"]
        assert modules_of(name, {room["modules"][0], "other.py"}) == room["modules"][:1]
        assert all((ROOT / "include" / one).is_file() for one in room["modules"])
        assert all((ROOT / one.partition("::")[0]).is_file() for one in room["tests"])
        assert room["least"] >= 85


def test_a_run_keeps_the_code_that_it_began_with(tmp_path: Path) -> None:
    """The bundle of the overlay gives a former commit's files after the branch has moved on."""
    origin = tmp_path / "origin"
    (origin / "dags").mkdir(parents=True)
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")

    def commit(text: str) -> None:
        (origin / "dags" / "one.py").write_text(text)
        run("git", "add", "-A", cwd=origin)
        run("git", *identity, "commit", "-qm", "x", cwd=origin)

    run("git", "init", "-q", "-b", "main", str(origin))
    commit("first")
    overlay = services(ROOT / "deploy" / "compose.git-bundle.yaml")
    assert set(overlay) == {name for name, one in services().items() if "logs" in str(one)} - {
        "prometheus"
    }
    name = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
    told = filled(overlay["worker"]["environment"][name], {"DAGS_REPOSITORY": str(origin)})
    (config,) = json.loads(told)
    script = tmp_path / "script.py"
    script.write_text(
        "import pathlib, subprocess, sys\n"
        "from airflow.dag_processing.bundles.manager import DagBundlesManager\n"
        "def bundle(version=None):\n"
        "    found = DagBundlesManager().get_bundle('trip-duration', version)\n"
        "    found.initialize()\n"
        "    return found\n"
        "one = bundle()\n"
        "began = one.get_current_version()\n"
        "began = getattr(began, 'version', began)\n"
        "subprocess.run(sys.argv[1:], check=True)\n"
        "one.refresh()\n"
        "text = lambda it: (pathlib.Path(it.path) / 'one.py').read_text()\n"
        "print(text(one), text(bundle(began)))\n"
    )
    move = tmp_path / "move.sh"
    move.write_text(
        f"cd {origin} && echo -n second > dags/one.py && "
        f"git {' '.join(identity)} commit -qam second\n"
    )
    environment = {
        "PATH": f"{BIN}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(tmp_path / "bundles"),
        name: told,
    }
    assert config["name"] == "trip-duration"
    printed = run(sys.executable, str(script), "sh", str(move), env=environment)
    assert printed.strip().splitlines()[-1] == "second first"
