"""The Kubernetes manifests, as rendered: valid, restricted, and true to the service's settings."""

from typing import Any

import kubernetes_validate
import pytest

from clpips.models.engines.contract import DEFAULT_FEATURE_BYTES
from clpips.service.settings import SETTINGS, Settings
from tests.support.manifests import DEPLOY, OVERLAYS, Manifest, containers, one, pods, read_yaml, render

# The kinds that operators add; what we write of them is checked by tests of its own.
OPERATORS_KINDS = {"ScaledObject", "ServiceMonitor", "PrometheusRule"}
SECRET_VALUES = {"database-url": "postgresql://clpips:secret@db.example.com/clpips"}

overlays = pytest.mark.parametrize("overlay", OVERLAYS)


@overlays
def test_manifests_are_valid_by_the_schemas_of_kubernetes(overlay: str) -> None:
    for manifest in render(overlay):
        if manifest["kind"] not in OPERATORS_KINDS:
            kubernetes_validate.validate(manifest, "1.33", strict=True)


@overlays
def test_only_production_needs_operators(overlay: str) -> None:
    kinds = {manifest["kind"] for manifest in render(overlay)}
    assert kinds & OPERATORS_KINDS == (OPERATORS_KINDS if overlay == "production" else set())


@overlays
def test_everything_is_in_the_namespace_that_enforces_the_restricted_standard(overlay: str) -> None:
    manifests = render(overlay)
    namespace = one(manifests, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {each["metadata"].get("namespace") for each in manifests if each is not namespace} == {"clpips"}


@overlays
def test_pods_meet_the_restricted_standard(overlay: str) -> None:
    for owner, pod in pods(render(overlay)).items():
        assert pod["securityContext"]["runAsNonRoot"] is True, owner
        assert pod["securityContext"]["runAsUser"] > 0, owner
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        assert pod["automountServiceAccountToken"] is False, owner
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), owner
        assert not [volume for volume in pod["volumes"] if "hostPath" in volume], owner


@overlays
def test_containers_are_confined_and_bounded(overlay: str) -> None:
    for name, container in containers(render(overlay)).items():
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["readOnlyRootFilesystem"] is True, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name
        assert "privileged" not in context, name
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys(), name
        assert not container["image"].endswith(":latest"), name
        assert ":" in container["image"], name


@overlays
def test_every_volume_that_can_be_written_is_bounded(overlay: str) -> None:
    for owner, pod in pods(render(overlay)).items():
        for volume in pod["volumes"]:
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], f"{owner}: {volume['name']}"


@overlays
def test_the_service_starts_with_what_is_set_here(overlay: str) -> None:
    manifests = render(overlay)
    for container in containers(manifests, "clpips").values():
        environment = _environment(manifests, container)
        assert environment.keys() <= SETTINGS.keys()
        Settings.from_environment(environment)  # raises for a value that cannot be used


@overlays
def test_the_service_runs_as_many_threads_as_it_has_cores(overlay: str) -> None:
    manifests = render(overlay)
    service = containers(manifests)["Deployment/clpips/clpips"]
    environment = _environment(manifests, service)
    assert environment["CLPIPS_THREADS"] == service["resources"]["limits"]["cpu"]
    assert environment["CLPIPS_DECODE_THREADS"] == service["resources"]["limits"]["cpu"]


@overlays
def test_the_feature_cache_leaves_room_for_work_in_its_memory(overlay: str) -> None:
    manifests = render(overlay)
    service = containers(manifests)["Deployment/clpips/clpips"]
    settings = Settings.from_environment(_environment(manifests, service))
    kept = DEFAULT_FEATURE_BYTES if settings.feature_cache_bytes is None else settings.feature_cache_bytes
    assert kept <= 0.5 * _bytes(service["resources"]["limits"]["memory"])


@overlays
def test_a_pod_that_ends_is_given_the_time_to_drain(overlay: str) -> None:
    manifests = render(overlay)
    pod = pods(manifests)["Deployment/clpips"]
    [container] = pod["containers"]
    settings = Settings.from_environment(_environment(manifests, container))
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause >= 5
    assert pod["terminationGracePeriodSeconds"] >= pause + settings.shutdown_seconds + 5
    assert settings.shutdown_seconds >= settings.request_seconds


@overlays
def test_probes_ask_what_they_should(overlay: str) -> None:
    service = containers(render(overlay))["Deployment/clpips/clpips"]
    paths = {probe: service[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/readyz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


@overlays
def test_selectors_find_the_pods_of_the_service_and_no_other(overlay: str) -> None:
    manifests = render(overlay)
    selectors = [
        one(manifests, "Service")["spec"]["selector"],
        one(manifests, "Deployment")["spec"]["selector"]["matchLabels"],
        one(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ]
    chosen = [
        manifest["metadata"]["name"]
        for selector in selectors
        for manifest in manifests
        if "template" in manifest.get("spec", {})
        and selector.items() <= manifest["spec"]["template"]["metadata"]["labels"].items()
    ]
    assert chosen == ["clpips"] * len(selectors)


@overlays
def test_ports_lead_from_the_ingress_to_the_process(overlay: str) -> None:
    manifests = render(overlay)
    service = one(manifests, "Service")
    [port] = service["spec"]["ports"]
    container = containers(manifests)["Deployment/clpips/clpips"]
    [listening] = [each for each in container["ports"] if each["name"] == port["targetPort"]]
    assert str(listening["containerPort"]) == _environment(manifests, container)["CLPIPS_PORT"]
    for path in one(manifests, "Ingress")["spec"]["rules"][0]["http"]["paths"]:
        assert path["backend"]["service"] == {"name": service["metadata"]["name"], "port": {"name": port["name"]}}


@overlays
def test_the_ingress_shows_only_what_clients_use(overlay: str) -> None:
    [rule] = one(render(overlay), "Ingress")["spec"]["rules"]
    assert {path["path"] for path in rule["http"]["paths"]} == {"/rank", "/distance", "/profiles", "/schema"}


@overlays
def test_the_proxy_and_the_service_refuse_the_same_bodies(overlay: str) -> None:
    snippet = one(render(overlay), "Service")["metadata"]["annotations"]["haproxy.org/backend-config-snippet"]
    assert f"req.body_size gt {Settings().max_body_bytes} " in snippet


@overlays
def test_no_secret_is_written_down(overlay: str) -> None:
    manifests = render(overlay)
    assert not [each for each in manifests if each["kind"] == "Secret"]
    for name, container in containers(manifests).items():
        for variable in container.get("env", []):
            if variable["name"] in {"CLPIPS_DATABASE_URL", "CLPIPS_API_KEYS", "POSTGRES_PASSWORD"}:
                assert variable["valueFrom"]["secretKeyRef"]["name"] == "clpips-secrets", name


@overlays
def test_traffic_that_is_not_named_is_dropped(overlay: str) -> None:
    manifests = render(overlay)
    policies = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]
    for manifest in manifests:
        if "template" in manifest.get("spec", {}):
            labels = manifest["spec"]["template"]["metadata"]["labels"]
            [policy] = [each for each in policies if each["podSelector"]["matchLabels"].items() <= labels.items()]
            assert policy["policyTypes"] == ["Ingress", "Egress"]
    ports = {port["port"] for rule in one(manifests, "NetworkPolicy")["spec"]["egress"] for port in rule["ports"]}
    assert ports == {53, 5432}


def test_a_gpu_replica_never_waits_for_the_gpu_of_the_one_it_replaces() -> None:
    deployment = one(render("gpu"), "Deployment")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"].endswith("-gpu")
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_a_cpu_upgrade_keeps_every_replica_until_its_successor_is_ready() -> None:
    assert one(render("cpu"), "Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_the_gpu_overlay_fits_a_cluster_with_one_gpu() -> None:
    bounds = one(render("gpu"), "HorizontalPodAutoscaler")["spec"]
    assert (bounds["minReplicas"], bounds["maxReplicas"]) == (1, 1)


@overlays
def test_the_line_of_a_request_is_in_the_log_of_every_installation(overlay: str) -> None:
    settings = one(render(overlay), "ConfigMap", _settings_of(overlay))["data"]
    assert settings.get("CLPIPS_LOG_LEVEL", "info") in {"debug", "info"}  # an answer's X-Request-ID leads to it


def _settings_of(overlay: str) -> str:
    """The name of the settings' ConfigMap, which has a hash in it."""
    container = one(render(overlay), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    name: str = container["envFrom"][0]["configMapRef"]["name"]
    return name


@overlays
def test_exactly_one_autoscaler_moves_the_deployment(overlay: str) -> None:
    manifests = render(overlay)
    targets = [
        each["spec"]["scaleTargetRef"]["name"]
        for each in manifests
        if each["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}
    ]
    assert targets == ["clpips"]
    assert "replicas" not in one(manifests, "Deployment")["spec"]


def test_both_autoscalers_aim_at_the_same_numbers() -> None:
    components = DEPLOY / "kubernetes" / "components"
    keda = {
        trigger.get("name", trigger["type"]): trigger["metadata"].get("threshold", trigger["metadata"].get("value"))
        for trigger in read_yaml(components / "keda" / "scaledobject.yaml")["spec"]["triggers"]
    }
    metrics = read_yaml(components / "prometheus-adapter" / "horizontalpodautoscaler.yaml")["spec"]["metrics"]
    adapter = {
        metric["pods"]["metric"]["name"]: metric["pods"]["target"]["averageValue"]
        for metric in metrics
        if metric["type"] == "Pods"
    }
    [cpu] = [metric["resource"]["target"]["averageUtilization"] for metric in metrics if metric["type"] == "Resource"]
    assert adapter == {
        "clpips_engine_busy_ratio": f"{float(keda['engine-busy']) * 1000:.0f}m",
        "clpips_queue_items": keda["queue"],
    }
    assert str(cpu) == keda["cpu"]


def test_the_adapter_serves_the_metrics_that_its_autoscaler_asks_for() -> None:
    folder = DEPLOY / "kubernetes" / "components" / "prometheus-adapter"
    served = {rule["name"]["as"] for rule in read_yaml(folder / "adapter-values.yaml")["rules"]["custom"]}
    metrics = read_yaml(folder / "horizontalpodautoscaler.yaml")["spec"]["metrics"]
    assert served == {metric["pods"]["metric"]["name"] for metric in metrics if metric["type"] == "Pods"}


@pytest.mark.parametrize("component", ["keda", "prometheus-adapter"])
def test_autoscalers_grow_at_once_and_shrink_slowly(component: str) -> None:
    if component == "keda":
        scaled = one(render("production"), "ScaledObject")
        behavior = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    else:
        behavior = one(render("cpu"), "HorizontalPodAutoscaler")["spec"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300


def _environment(manifests: list[Manifest], container: Manifest) -> dict[str, str]:
    """The variables as the process sees them, with `SECRET_VALUES` for secrets."""
    environment: dict[str, str] = {}
    for source in container.get("envFrom", []):
        environment |= one(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container.get("env", []):
        environment[variable["name"]] = variable["value"] if "value" in variable else _from(variable, container)
    return environment


def _from(variable: dict[str, Any], container: Manifest) -> str:
    source = variable["valueFrom"]
    if "secretKeyRef" in source:
        return SECRET_VALUES[source["secretKeyRef"]["key"]]
    kind, _, resource = source["resourceFieldRef"]["resource"].partition(".")
    return str(container["resources"][kind][resource])


def _bytes(quantity: str) -> int:
    number, unit = quantity[:-2], quantity[-2:]
    return int(number) * {"Mi": 2**20, "Gi": 2**30}[unit]
