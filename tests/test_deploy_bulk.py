"""The manifests of bulk scoring: valid by Kubernetes's schemas, restricted, and with commands that exist."""

import shlex
from typing import Any

import kubernetes_validate
import pytest
import rich_click as click

from clpips.models.cli.score import score_command
from tests.support.manifests import DEPLOY, ROOT, read_yaml

JOB = read_yaml(DEPLOY / "bulk" / "indexed-job.yaml")
RAY_JOB = read_yaml(DEPLOY / "bulk" / "rayjob.yaml")
CLUSTER = RAY_JOB["spec"]["rayClusterSpec"]
TEMPLATES = {
    "indexed-job": JOB["spec"]["template"],
    "ray-head": CLUSTER["headGroupSpec"]["template"],
    **{f"ray-{group['groupName']}": group["template"] for group in CLUSTER["workerGroupSpecs"]},
}
templates = pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)


def parsed(arguments: list[str]) -> dict[str, Any]:
    """What `clpips score` understands of arguments; it refuses those that it does not know."""
    return score_command.make_context("score", list(arguments)).params


def test_the_indexed_job_is_valid_by_the_schemas_of_kubernetes() -> None:
    kubernetes_validate.validate(JOB, "1.33", strict=True)


@templates
def test_pods_are_valid_and_meet_the_restricted_standard(template: dict[str, Any]) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", **template["metadata"]},
        "spec": template["spec"],
    }
    kubernetes_validate.validate(pod, "1.33", strict=True)
    spec = template["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert all(volume["emptyDir"]["sizeLimit"] for volume in spec.get("volumes", []))
    for container in spec["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory", "ephemeral-storage"} == container["resources"]["limits"].keys()
        assert not container["image"].endswith(":latest")


def test_each_pod_of_the_indexed_job_does_its_own_share_and_all_are_done() -> None:
    [container] = JOB["spec"]["template"]["spec"]["containers"]
    command, *arguments = container["args"]
    assert command == "score"
    count = JOB["spec"]["completions"]
    shares = [
        parsed([one.replace("$(JOB_COMPLETION_INDEX)", str(index)) for one in arguments])["share"]
        for index in range(count)
    ]
    assert shares == [(index, count) for index in range(count)]
    assert JOB["spec"]["parallelism"] >= 1
    variables = {variable["name"] for variable in container["env"]}
    assert {"JOB_COMPLETION_INDEX", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= variables
    spill = parsed([one for one in arguments if "$" not in one])["spill"]
    assert spill in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_the_ray_job_asks_for_the_workers_that_its_cluster_has_room_for() -> None:
    program, command, *arguments = shlex.split(RAY_JOB["spec"]["entrypoint"])
    assert (program, command) == ("clpips", "score")
    asked = parsed(arguments)
    [group] = CLUSTER["workerGroupSpecs"]
    [container] = group["template"]["spec"]["containers"]
    assert asked["address"] == "auto"
    assert str(asked["worker_cpus"]) == container["resources"]["limits"]["cpu"]
    assert asked["engine_workers"] == group["replicas"]
    assert asked["spill"] in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert CLUSTER["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_the_cluster_and_its_image_have_the_same_ray() -> None:
    dockerfile = (DEPLOY / "bulk" / "Dockerfile.ray").read_text()
    assert f"rayproject/ray:{CLUSTER['rayVersion']}-" in dockerfile
    assert f"ray=={CLUSTER['rayVersion']}\n" in (ROOT / "constraints.txt").read_text()


def test_what_is_asked_wrongly_is_refused() -> None:
    with pytest.raises(click.UsageError, match="i/n"):
        parsed(["pairs.csv", "--out=x", "--shard=8/8"])
    with pytest.raises(click.UsageError, match="target=NAME"):
        parsed(["pairs.csv", "--out=x", "--columns=nonsense"])
