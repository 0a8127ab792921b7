"""Dockerfile and compose file: what can be told without a container engine."""

import re
from pathlib import Path
from typing import Any

import pytest

from clpips.service.settings import SETTINGS, Settings
from tests.support.manifests import DEPLOY, ROOT, containers, read_yaml, render

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = read_yaml(DEPLOY / "compose.yaml")
OWN = {name: service for name, service in COMPOSE["services"].items() if "build" in service}


def instructions(name: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.removeprefix(name).strip() for line in joined.splitlines() if line.startswith(f"{name} ")]


def image_environment() -> dict[str, str]:
    return dict(re.findall(r"(CLPIPS_\w+)=(\S+)", " ".join(instructions("ENV"))))


def test_the_service_knows_every_variable_that_the_image_sets() -> None:
    environment = image_environment()
    assert environment
    assert environment.keys() <= SETTINGS.keys()
    Settings.from_environment(environment)


def test_the_image_runs_as_the_user_that_kubernetes_runs_it_as() -> None:
    pod = containers(render("cpu"))["Deployment/clpips/clpips"]
    deployment = next(each for each in render("cpu") if each["kind"] == "Deployment")
    context = deployment["spec"]["template"]["spec"]["securityContext"]
    user = f"{context['runAsUser']}:{context['runAsGroup']}"
    assert instructions("USER") == [user, "0:0", user]  # root installs the GPU image's compiler in between
    assert instructions("EXPOSE") == [str(pod["ports"][0]["containerPort"])]


def test_signals_reach_the_service() -> None:
    assert instructions("ENTRYPOINT") == ['["clpips"]']
    assert instructions("CMD") == ['["serve"]']
    assert instructions("STOPSIGNAL") == ["SIGTERM"]


def test_the_builder_gets_only_what_the_package_is_built_from() -> None:
    ignored, *kept = (line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#"))
    assert ignored == "*"
    assert {line[1:] for line in kept if line.startswith("!")} == {
        "pyproject.toml",
        "constraints.txt",
        "README.md",
        "LICENSE",
        "NOTICE",
        "models",
        "src",
        "service",
    }


@pytest.mark.parametrize("name", sorted(OWN))
def test_compose_sets_what_the_service_knows(name: str) -> None:
    environment = OWN[name]["environment"]
    assert environment.keys() <= SETTINGS.keys()
    Settings.from_environment(image_environment() | environment)


@pytest.mark.parametrize("name", sorted(OWN))
def test_compose_confines_the_service(name: str) -> None:
    service: dict[str, Any] = OWN[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_compose_opens_ports_to_this_machine_alone() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_stops_the_service_later_than_it_drains() -> None:
    settings = Settings.from_environment(image_environment() | OWN["clpips"]["environment"])
    assert int(OWN["clpips"]["stop_grace_period"].removesuffix("s")) >= settings.shutdown_seconds + 5


def test_compose_mounts_files_that_exist() -> None:
    mounts = [
        volume.split(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    ]
    assert mounts
    assert [mount for mount in mounts if not Path(DEPLOY / mount).is_file()] == []
