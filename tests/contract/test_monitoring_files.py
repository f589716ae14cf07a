"""Rules, dashboard and provisioning, held to the services and to the page that explains them."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from compose_stack import ROOT, default
from cxr_classifier.settings import ClassifierSettings
from cxr_detector.settings import DetectorSettings
from cxr_gateway.core.settings import GatewaySettings
from prometheus_server import DASHBOARD, MONITORING, RULES, promtool, rules, selectors

OPERATIONS = (ROOT / "docs/operations.md").read_text()
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
PORTS = {
    "gateway": GatewaySettings().port,
    "classifier": ClassifierSettings().port,
    "detector": DetectorSettings().port,
}


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def cases(alert: str) -> Iterator[bool]:
    """For each case of an alert in the rules' own tests, whether it fires."""
    for name in RULES:
        tests = yaml.safe_load((MONITORING / name.replace(".yml", ".test.yml")).read_text())
        for test in tests["tests"]:
            for case in test["alert_rule_test"]:
                if case["alertname"] == alert:
                    yield bool(case["exp_alerts"])


def test_every_part_is_found_behind_its_name_at_its_port() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    found = {}
    for job in config["scrape_configs"]:
        [places] = job["dns_sd_configs"]
        assert places["names"] == [job["job_name"]]
        assert places["type"] == "A"
        found[job["job_name"]] = places["port"]
    assert found == PORTS
    assert config["rule_files"] == list(RULES)


def test_what_is_mounted_into_the_monitoring_is_there() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    mounted = [
        volume.split(":")
        for name in ("prometheus", "grafana")
        for volume in services[name]["volumes"]
        if volume.startswith("./")
    ]
    for source, _target, access in mounted:
        assert (ROOT / source).exists(), source
        assert access == "ro"
    assert {source for source, *_ in mounted} >= {f"./deploy/monitoring/{name}" for name in RULES}
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.endswith(f"/dashboards/{DASHBOARD.name}")
    size = default("${CXR_PROMETHEUS_SIZE:-4GB}")
    assert f"retention.size={size}" in default(" ".join(services["prometheus"]["command"]))


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_it_means_and_has_both_cases(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/operations.md, Watching it, {alert}"
    assert f"| `{alert}` |" in OPERATIONS
    assert set(cases(alert)) == {True, False}


def test_the_page_explains_no_alert_that_there_is_not() -> None:
    explained = [
        line.split("`")[1] for line in OPERATIONS.splitlines() if line.startswith("| `Cxr")
    ]
    assert sorted(explained) == sorted(ALERTS)


def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    for name in RULES:
        assert "SUCCESS" in promtool("check", "rules", name)
        assert "SUCCESS" in promtool("test", "rules", name.replace(".yml", ".test.yml"))


def test_prometheus_takes_its_configuration() -> None:
    assert "is valid prometheus config" in promtool("check", "config", "prometheus.yml")


def test_the_dashboard_asks_the_provisioned_source_and_explains_each_panel() -> None:
    [source] = yaml.safe_load((MONITORING / "grafana/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in services
    rows = [panel["title"] for panel in panels() if panel["type"] == "row"]
    assert rows == [
        "Traffic",
        "Latency by stage",
        "Queues",
        "Findings and priorities",
        "Refusals",
        "Resources",
    ]
    for panel in panels():
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": source["uid"]}
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]


def test_no_panel_lies_on_another() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = set(itertools.product(columns, range(place["y"], place["y"] + place["h"])))
        assert columns.stop <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_selectors_of_an_expression_are_found() -> None:
    expression = (
        'sum by (finding, le) (increase(a_total{x="y}", z=~"[1-9](a|b)"}[1d] offset 1d))'
        " / on() group_left() scalar(b:c:d) * 3e9 > 2 * sqrt(e) and on(job) up == 0"
    )
    found = {'a_total{x="y}", z=~"[1-9](a|b)"}', "b:c:d", "e", "up"}
    assert selectors(expression) == found
