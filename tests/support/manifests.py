"""The deployment's files as data: what kubectl renders of each overlay, and who sets which environment variable."""

import functools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
OBSERVABILITY = DEPLOY / "observability"
OVERLAYS = ("cpu", "gpu", "production")

Manifest = dict[str, Any]


def tool(name: str, package: str) -> str:
    """The path of a program; the test skips where it is missing and says which Debian package has it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name} (apt-get install {package})")
    return found


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@functools.cache
def render(overlay: str) -> list[Manifest]:
    """The manifests of an overlay, as `kubectl apply -k` would send them."""
    kubectl = tool("kubectl", "kubernetes-client")
    _require_components(kubectl)
    folder = DEPLOY / "kubernetes" / "overlays" / overlay
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"kustomize warns: {done.stderr}"
    return list(yaml.safe_load_all(done.stdout))


def _require_components(kubectl: str) -> None:
    done = subprocess.run([kubectl, "version", "--client", "--output=json"], capture_output=True, text=True, check=True)
    version = json.loads(done.stdout)["clientVersion"]
    if (int(version["major"]), int(re.sub(r"\D", "", version["minor"]))) < (1, 27):
        pytest.skip(f"needs kubectl 1.27 or newer, for Kustomize components; this is {version['gitVersion']}")


def one(manifests: list[Manifest], kind: str, name: str = "clpips") -> Manifest:
    """The one manifest of this kind and name."""
    [found] = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The pod specs that the manifests ask for, by kind and name of their owner."""
    return {
        f"{each['kind']}/{each['metadata']['name']}": each["spec"]["template"]["spec"]
        for each in manifests
        if "template" in each.get("spec", {})
    }


def containers(manifests: list[Manifest], image: str = "") -> dict[str, Manifest]:
    """The containers of all pods whose image has `image` in its name."""
    return {
        f"{owner}/{container['name']}": container
        for owner, pod in pods(manifests).items()
        for container in [*pod.get("initContainers", []), *pod["containers"]]
        if image in container["image"]
    }
