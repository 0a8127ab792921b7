"""Rules, dashboard and autoscalers: well-formed, tested, and about metrics that the service really has."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import Expr, MatrixSelector, VectorSelector, parse, walk

from tests.support.manifests import DEPLOY, OBSERVABILITY, ROOT, one, read_yaml, render, tool
from tests.support.pictures import encode, picture
from tests.support.services import distance_body, listening, rank_body

PROMETHEUS_OWN = {"up", "ALERTS"}
GIVEN_BY_PROMETHEUS = {"namespace", "instance", "job", "pod", "le"}
RATE_INTERVAL = "1m"  # what Grafana puts in place of $__rate_interval at a scrape each 15 s


def alerts() -> list[dict[str, Any]]:
    groups = read_yaml(OBSERVABILITY / "rules.yaml")["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def expressions() -> dict[str, str]:
    """Every PromQL expression of the deployment, by where it stands."""
    found = {
        f"rules.yaml: {rule.get('record') or rule['alert']}": rule["expr"]
        for group in read_yaml(OBSERVABILITY / "rules.yaml")["groups"]
        for rule in group["rules"]
    }
    components = DEPLOY / "kubernetes" / "components"
    for trigger in read_yaml(components / "keda" / "scaledobject.yaml")["spec"]["triggers"]:
        if trigger["type"] == "prometheus":
            found[f"keda: {trigger['name']}"] = trigger["metadata"]["query"]
    for rule in read_yaml(components / "prometheus-adapter" / "adapter-values.yaml")["rules"]["custom"]:
        series, _, _ = rule["seriesQuery"].partition("{")
        found[f"adapter: {rule['name']['as']}"] = (
            rule["metricsQuery"]
            .replace("<<.Series>>", series)
            .replace("<<.LabelMatchers>>", 'namespace="clpips"')
            .replace("<<.GroupBy>>", "pod")
        )
    return found | dashboard_expressions()


def dashboard_expressions() -> dict[str, str]:
    """The dashboard's queries as Grafana sends them with every namespace and replica chosen."""
    dashboard = json.loads((OBSERVABILITY / "dashboard.json").read_text())
    found = {
        f"dashboard: {panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    }
    for name, text in found.items():
        for variable, value in {"$__rate_interval": RATE_INTERVAL, "$namespace": ".*", "$instance": ".*"}.items():
            text = text.replace(variable, value)
        found[name] = text
    return found


def test_promtool_accepts_the_rules() -> None:
    _promtool("check", "rules", str(OBSERVABILITY / "rules.yaml"))


def rule_tests() -> dict[str, str]:
    """The cases of `rules_test.yaml` by name, each as a file of its own.

    As text, because promtool's `0x80` (eighty zeros) is a number to a YAML library.
    """
    head, *cases = re.split(r"^  - name: ", (OBSERVABILITY / "rules_test.yaml").read_text(), flags=re.MULTILINE)
    head = head.replace("rules.yaml", str(OBSERVABILITY / "rules.yaml"))
    return {case.partition("\n")[0]: f"{head}  - name: {case}" for case in cases}


@pytest.mark.parametrize("case", rule_tests())
def test_the_rules_do_what_their_tests_say(case: str, tmp_path: Path) -> None:
    file = tmp_path / "rules_test.yaml"
    file.write_text(rule_tests()[case])
    _promtool("test", "rules", str(file))


def test_promtool_accepts_the_configuration_of_prometheus() -> None:
    _promtool("check", "config", str(OBSERVABILITY / "prometheus.yaml"))


def test_every_alert_is_seen_to_fire_in_a_test() -> None:
    tested = {
        case["alertname"]
        for test in read_yaml(OBSERVABILITY / "rules_test.yaml")["tests"]
        for case in test.get("alert_rule_test", [])
        if case.get("exp_alerts")
    }
    assert tested == {rule["alert"] for rule in alerts()}


def test_the_operator_gets_the_same_rules() -> None:
    rule = read_yaml(OBSERVABILITY / "prometheusrule.yaml")
    assert rule["spec"] == read_yaml(OBSERVABILITY / "rules.yaml"), "run: make rules"


def test_every_alert_says_how_urgent_it_is_and_what_it_means() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert rule["annotations"].keys() >= {"summary", "description"}, rule["alert"]
        assert rule["annotations"]["runbook_url"].endswith(f"deploy/README.md#{rule['alert'].lower()}")


def test_every_alert_has_its_section_in_the_runbook() -> None:
    readme = (DEPLOY / "README.md").read_text()
    sections = set(re.findall(r"^### (Clpips\w+)", readme, re.MULTILINE))
    assert sections == {rule["alert"] for rule in alerts()}


def test_the_dashboard_has_a_title_a_unit_and_a_query_on_every_panel() -> None:
    dashboard = json.loads((OBSERVABILITY / "dashboard.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in panels:
        assert panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_kube_prometheus_stack_finds_the_monitor_and_the_rules_by_its_own_label() -> None:
    manifests = render("production")
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert one(manifests, kind)["metadata"]["labels"]["release"] == "kube-prometheus-stack"


def test_prometheus_finds_the_service_through_its_monitor() -> None:
    manifests = render("production")
    monitor, service = one(manifests, "ServiceMonitor"), one(manifests, "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "clpips"  # the job that the rules name


@pytest.fixture(scope="module")
def scrape() -> dict[str, set[tuple[str, str]]]:
    """What a running service that has answered a ranking tells Prometheus: its metrics, and their label values."""
    image = encode(picture(1))
    body, content_type = rank_body("multipart", image, [image])
    with listening() as url:
        httpx.post(f"{url}/rank", content=body, headers={"content-type": content_type}).raise_for_status()
        body, content_type = distance_body("multipart", [(image, image)])
        httpx.post(f"{url}/distance", content=body, headers={"content-type": content_type}).raise_for_status()
        for path in ("/healthz", "/readyz", "/profiles", "/metrics"):
            httpx.get(f"{url}{path}").raise_for_status()
        text = httpx.get(f"{url}/metrics").raise_for_status().text
    found: dict[str, set[tuple[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels.items())
    return found


@pytest.mark.parametrize("where", sorted(expressions()))
def test_expressions_read_only_what_the_service_says(where: str, scrape: dict[str, set[tuple[str, str]]]) -> None:
    recorded = {name.removeprefix("rules.yaml: ") for name in expressions() if name.startswith("rules.yaml: clpips:")}
    selectors = _selectors(expressions()[where])
    assert selectors
    for selector in selectors:
        if selector.name in PROMETHEUS_OWN | recorded:
            continue
        assert selector.name in scrape, f"{selector.name} is not in a scrape"
        for label, value in _named_values(selector):
            assert (label, value) in scrape[selector.name], f"{selector.name} has no {label}={value!r}"


def _selectors(expression: str) -> list[VectorSelector]:
    found: list[VectorSelector] = []

    def visit(node: Expr) -> None:
        if isinstance(node, MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, VectorSelector):
            found.append(node)

    walk(parse(expression), visit)
    return found


def _named_values(selector: VectorSelector) -> Iterator[tuple[str, str]]:
    """The label values that a selector asks for by name: not `5..`, and not what Prometheus itself attaches."""
    for matcher in selector.matchers.matchers:
        if matcher.name not in GIVEN_BY_PROMETHEUS and matcher.name != "status_code":
            yield from ((matcher.name, value) for value in matcher.value.split("|"))


def _promtool(*arguments: str) -> None:
    command = [tool("promtool", "prometheus"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
