"""docker-compose.yaml without an engine: what it says, and that what it names is there."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values
from tests.production.compose import (
    COMPOSE,
    ROOT,
    START_SECONDS,
    MissingVariableError,
    filled,
    services,
    variables,
)
from tests.production.programs import BIN, run

from model_loop.local.stack import EVERYWHERE
from model_loop.production.environment import VARIABLES, example, fresh_environment
from model_loop.settings import ENVIRONMENT_PREFIX, Settings
from model_loop.settings.renamed import FORMER_PREFIX

EXAMPLE = ROOT / "deploy" / "production.env.example"
SERVICES = services()
ONE_SHOT = {"init", "volumes"}
LONG_RUNNING = sorted(set(SERVICES) - ONE_SHOT)
OURS = sorted(name for name, one in SERVICES.items() if "build" in one)


def environment(tmp_path: Path) -> dict[str, str]:
    """A fresh environment, read back as Compose reads it."""
    file = tmp_path / "env"
    file.write_text(fresh_environment())
    return {name: value or "" for name, value in dotenv_values(file).items()}


def test_the_files_hold_to_the_specification() -> None:
    """Each compose file is valid by the schema of the Compose specification."""
    files = [COMPOSE, *sorted((ROOT / "deploy").glob("compose.*.yaml"))]
    command = (str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec")
    run(*command, *map(str, files))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned(name: str) -> None:
    """Every image that is not built here bears a whole version."""
    image = filled(SERVICES[name]["image"], {})
    if name in OURS:
        assert image == "model-loop:local"
    else:
        assert re.search(r":v?\d+\.\d+", image), image


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_services_are_hardened(name: str) -> None:
    """Nothing may write to its image, gain rights, or eat the machine."""
    one = SERVICES[name]
    assert one["read_only"]
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "memory", "pids"} == set(one["deploy"]["resources"]["limits"])
    if one["user"].split(":")[0] == "0" and name != "runner":
        # It only gives fresh volumes to their users.
        assert one["network_mode"] == "none"


def test_the_runner_has_nothing_to_lose() -> None:
    """Foreign code runs in it: no secret, no volume that it writes, no way but to its callers."""
    one = SERVICES["runner"]
    assert {*one["cap_add"]} == {"CHOWN", "KILL", "SETGID", "SETUID"}
    assert one["networks"] == ["runner"]
    assert one["volumes"] == ["environments:/var/lib/model-loop-environments:ro"]
    assert "ports" not in one
    secret = {variable.name for variable in VARIABLES if variable.make}
    assert not {name for name in secret if f"{{{name}:" in yaml.dump(one)}
    assert {name for name in one["environment"] if not name.startswith("MODEL_LOOP_")} == set()
    joined = {name for name, other in SERVICES.items() if "runner" in other.get("networks", [])}
    assert joined == {"runner", "serving", "worker", "airflow-api-server"}
    assert yaml.safe_load(COMPOSE.read_text())["networks"]["runner"] == {"internal": True}


def test_keys_of_code_are_with_those_who_admit_or_ask(tmp_path: Path) -> None:
    """And the digest of the token is that of the token."""
    for secret in ("${CODE_KEYS", "${RUNNER_TOKEN:"):
        having = {name for name, one in SERVICES.items() if secret in yaml.dump(one)}
        assert having == {"serving", "worker", "airflow-api-server"}
    made = environment(tmp_path)
    digest = hashlib.sha256(made["RUNNER_TOKEN"].encode()).hexdigest()
    assert made["RUNNER_TOKEN_SHA256"] == digest


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_services_stay_up(name: str) -> None:
    """What runs for long is asked for its health and restarted."""
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert {"test", "interval", "timeout", "retries"} <= set(SERVICES[name]["healthcheck"])


@pytest.mark.parametrize("name", OURS)
def test_a_slow_start_is_waited_for(name: str) -> None:
    """What runs our image may take as long as was measured before it counts as unhealthy."""
    if name not in ONE_SHOT:
        minutes = re.fullmatch(r"(\d+)m", SERVICES[name]["healthcheck"]["start_period"])
        assert minutes
        assert int(minutes[1]) * 60 >= START_SECONDS


def test_workers_that_start_slowly_are_not_killed(tmp_path: Path) -> None:
    """The servers with several processes wait as long for each of them."""
    command = SERVICES["airflow-api-server"]["command"]
    assert int(command[command.index("--worker-timeout") + 1]) >= START_SECONDS
    given = tmp_path / "given"
    program = tmp_path / "mlflow"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {given}\n')
    program.chmod(0o755)
    told = {name: f"sqlite:///{tmp_path}/{name}" for name in SERVICES["mlflow"]["environment"]}
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    run(sys.executable, "-m", "model_loop.production", "mlflow", env=told | path)
    options = given.read_text().splitlines()
    words = options[options.index("--uvicorn-opts") + 1].split()
    assert int(words[words.index("--timeout-worker-healthcheck") + 1]) >= START_SECONDS


def test_a_token_is_asked_for_when_it_can_be_given() -> None:
    """Who logs in at the api-server begins when that one answers, however long it starts."""
    asking = {
        name
        for name, one in SERVICES.items()
        if one.get("environment", {}).get("AIRFLOW_API_URL") == "http://airflow-api-server:8080"
    }
    assert asking
    for name in asking:
        waited = SERVICES[name]["depends_on"]["airflow-api-server"]
        assert waited == {"condition": "service_healthy"}


def test_two_processors_are_enough() -> None:
    """An engine refuses limits above what its machine has; larger ones are asked for by name."""
    limits = {name: one["deploy"]["resources"]["limits"] for name, one in SERVICES.items()}
    assert all(float(filled(one["cpus"], {})) <= 2 for one in limits.values()), limits
    assert filled(limits["worker"]["cpus"], {"WORKER_CPUS": "8"}) == "8"


def test_what_answers_predictions_may_write_its_folder() -> None:
    """Versions and what is not logged yet are kept on a volume: the image is read-only."""
    (folder,) = re.findall(r"MODEL_LOOP_SERVING_FOLDER=(\S+)", (ROOT / "Dockerfile").read_text())
    answering = {
        name
        for name in OURS
        if SERVICES[name]["command"][:2] in (["airflow", "api-server"], ["model-loop", "serve"])
    }
    assert answering == {"airflow-api-server", "serving"}
    for name in answering:
        mounted = {volume.split(":")[-1] for volume in SERVICES[name]["volumes"]}
        assert folder in mounted, name


def test_only_the_proxy_is_open() -> None:
    """Ports are bound to this machine unless told otherwise; data services publish none."""
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert set(published) == {"proxy", "mail", "prometheus"}
    assert all(
        filled(port, {}).startswith("127.0.0.1:") for ports in published.values() for port in ports
    )
    alone = {name for name, one in SERVICES.items() if one.get("networks") == ["inside"]}
    assert {"postgres", "redis", "s3", "mlflow"} <= alone
    assert SERVICES["serving"]["networks"] == ["inside", "runner"]
    assert yaml.safe_load(COMPOSE.read_text())["networks"]["inside"] == {"internal": True}


def test_variables_are_needed_or_harmless() -> None:
    """A secret has a message and no default, another one a default; the example knows them all."""
    known = {one.name: one for one in VARIABLES}
    former = f"{FORMER_PREFIX}IMAGE"
    found = {name for name, _, _ in variables()}
    assert found == {*known, former}
    for name, rule, rest in variables():
        if name == former:
            assert (rule, rest) == (":-", ""), "handed on, so that it is refused"
        elif known[name].make and known[name].needed:
            assert rule == ":?", name
            assert "make secrets" in str(rest)
        else:
            assert (rule, rest) == (":-", known[name].default), name


def test_a_start_without_secrets_is_refused(tmp_path: Path) -> None:
    """Each secret that is missing stops the start by its name."""
    whole = environment(tmp_path)
    text = COMPOSE.read_text()
    filled(text, whole)
    for one in VARIABLES:
        if one.make and one.needed:
            lacking = {name: value for name, value in whole.items() if name != one.name}
            with pytest.raises(MissingVariableError, match=f"^{one.name}: run `make secrets`"):
                filled(text, lacking)


def test_secrets_are_fresh_and_fit_into_addresses(tmp_path: Path) -> None:
    """No two secrets are the same, none is short, and all stand in addresses as they are."""
    first, second = environment(tmp_path), environment(tmp_path)
    made = [one.name for one in VARIABLES if one.make]
    values = [found[name] for found in (first, second) for name in made]
    assert len(set(values)) == 2 * len(made)
    assert all(re.fullmatch(r"[A-Za-z0-9_=-]{20,}", value) for value in values)
    assert all(not line.partition("=")[2] for line in example().splitlines() if line[:1] != "#")


def test_the_example_is_fresh() -> None:
    """deploy/production.env.example is what `make docs` writes."""
    assert EXAMPLE.read_text() == example()


def test_no_password_stands_in_a_file() -> None:
    """Whatever is called password, secret or key comes from a variable."""
    for one in SERVICES.values():
        for name, value in one.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY|TOKEN$", name) and "__TLS__" not in name:
                assert str(value).startswith("${"), name
    assert not re.search(r"://[^\s:/]*:(?!\$\{)[^\s@/]+@", COMPOSE.read_text())


def test_only_who_needs_a_secret_has_it() -> None:
    """The administrator's password of Postgres reaches Postgres and init, and nobody else."""
    secret = "${POSTGRES_PASSWORD:?"  # noqa: S105 - a name
    assert {name for name, one in SERVICES.items() if secret in yaml.dump(one)} == {
        "postgres",
        "init",
    }
    fernet = {name for name, one in SERVICES.items() if "AIRFLOW_FERNET_KEY" in yaml.dump(one)}
    assert not fernet & {"serving", "mlflow", "proxy", "scrape-token"}


def test_settings_that_are_named_exist() -> None:
    """Each setting of the package is one that it reads."""
    known = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in Settings.model_fields}
    for one in SERVICES.values():
        named = {name for name in one.get("environment", {}) if name.startswith(ENVIRONMENT_PREFIX)}
        assert named <= known


def test_airflow_knows_its_options(tmp_path: Path) -> None:
    """Every AIRFLOW__SECTION__OPTION is an option of Airflow or of a provider."""
    found: set[str] = set()
    for one in SERVICES.values():
        found |= {name for name in one.get("environment", {}) if name.startswith("AIRFLOW__")}
    # Passed on to Celery as they are.
    found -= {name for name in found if "BROKER_TRANSPORT_OPTIONS" in name}
    code = (
        "import sys\n"
        "from airflow.configuration import conf\n"
        "from airflow.providers_manager import ProvidersManager\n"
        "parts = dict(ProvidersManager().provider_configs) | conf.configuration_description\n"
        "parts = {it.replace('.', '_'): part.get('options', ()) for it, part in parts.items()}\n"
        "for name in sys.argv[1:]:\n"
        "    _, section, option = name.lower().split('__')\n"
        "    assert option in parts[section], name\n"
    )
    clean = {"PATH": "/usr/bin:/bin", "AIRFLOW_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code, *sorted(found | {"AIRFLOW__CORE__DAGS_FOLDER"})]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]


def test_files_that_are_mounted_exist() -> None:
    """Every file of this project that a service mounts is there, and is mounted for reading."""
    for one in SERVICES.values():
        for volume in one.get("volumes", []):
            if volume.startswith("./"):
                source, _, mode = volume.split(":")
                assert (ROOT / source).exists()
                assert mode == "ro"


def test_commands_exist() -> None:
    """What our services run is known to the programs."""
    airflow = {
        SERVICES[name]["command"][1] for name in OURS if SERVICES[name]["command"][0] == "airflow"
    }
    assert airflow == {"api-server", "scheduler", "dag-processor", "triggerer", "celery"}
    known = run(sys.executable, "-m", "model_loop.production", "--help")
    for name in OURS:
        command: list[Any] = SERVICES[name]["command"]
        if command[0] == "python":
            assert command[3] in known
        elif command[0] == "model-loop":
            said = {"serve": "Answer predictions", "runner": "Run models with code"}
            assert said[command[1]] in run(str(BIN / command[0]), *command[1:], "--help")


def test_the_proxy_takes_its_rules() -> None:
    """Caddy accepts the file, in its own layout, with addresses of both kinds."""
    file = ROOT / "deploy" / "proxy" / "Caddyfile"
    run(str(BIN / "caddy"), "validate", "--adapter", "caddyfile", "--config", str(file))
    assert run(str(BIN / "caddy"), "fmt", str(file)) == file.read_text()


def test_prometheus_reads_what_is_there() -> None:
    """The jobs ask services of the compose file, and show tokens that somebody writes."""
    folder = ROOT / "deploy" / "prometheus"
    config = yaml.safe_load((folder / "prometheus.yml").read_text())
    assert all((folder / name).exists() for name in config["rule_files"])
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert set(jobs["serving"]["dns_sd_configs"][0]["names"]) <= set(SERVICES)
    ((target,),) = (one["targets"] for one in jobs["health"]["static_configs"])
    assert target.split(":")[0] in SERVICES
    written = {"serving.token", "airflow.token"}
    assert {Path(job["authorization"]["credentials_file"]).name for job in jobs.values()} == written
    (rules,) = yaml.safe_load((folder / "alerts.yml").read_text())["groups"]
    known = (ROOT / "docs" / "how-to" / "health.md").read_text()
    for rule in rules["rules"]:
        assert set(re.findall(r"model_loop_\w+", rule["expr"])) <= set(
            re.findall(r"model_loop_\w+", known)
        )


def test_the_image() -> None:
    """The Dockerfile passes hadolint, pins its base, ends without rights, and is set as local."""
    file = ROOT / "Dockerfile"
    run(str(BIN / "hadolint"), str(file))
    text = file.read_text()
    # It would be fetched from a registry before anything else, and nothing here needs it.
    assert not re.search(r"^#\s*syntax\s*=", text, re.MULTILINE)
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+$", text, re.MULTILINE)
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:0"]
    assert "uv pip check" in text
    for name, value in EVERYWHERE.items():
        assert re.search(rf"\b{name}={re.escape(value)}( \\)?$", text, re.MULTILINE), name
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for source in " ".join(copied).split():
        assert (ROOT / source).exists()
        assert source.split("/")[0] in allowed
    assert not any("env" in name for name in allowed)
