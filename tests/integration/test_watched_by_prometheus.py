"""The whole system as processes, asked by a real Prometheus: every expression has its answer."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from benchmarks.stack import ROOT, Stack
from support.images import encoded, example_image
from support.prometheus_server import DASHBOARD, MONITORING, Prometheus, eventually, rules, running

PANELS = [
    (panel["title"], target["expr"])
    for panel in json.loads(DASHBOARD.read_text())["panels"]
    for target in panel.get("targets", [])
]


def config_of(stack: Stack) -> dict[str, Any]:
    """The provisioned configuration, with addresses in the place of names, and quicker."""
    config: dict[str, Any] = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "evaluation_interval": "1s",
    }
    config["rule_files"] = [str(MONITORING / name) for name in config["rule_files"]]
    del config["alerting"]
    for job in config["scrape_configs"]:
        del job["dns_sd_configs"]
        address = stack.services[job["job_name"]].url.removeprefix("http://")
        job["static_configs"] = [{"targets": [address]}]
    config["scrape_configs"].append(in_a_cluster(address))
    return config


def in_a_cluster(address: str) -> dict[str, Any]:
    """The cluster's job: a pod as the discovery describes it, and one without the annotation."""
    [job] = yaml.safe_load((MONITORING / "kubernetes-scrape.yml").read_text())["scrape_configs"]
    del job["kubernetes_sd_configs"]
    ip, port = address.split(":")
    pod = {
        "__meta_kubernetes_pod_annotation_prometheus_io_scrape": "true",
        "__meta_kubernetes_pod_annotation_prometheus_io_path": "/metrics",
        "__meta_kubernetes_pod_annotation_prometheus_io_port": port,
        "__meta_kubernetes_pod_ip": ip,
        "__meta_kubernetes_pod_label_app": "detector",
        "__meta_kubernetes_pod_name": "detector-5d9c",
    }
    other = {"__meta_kubernetes_pod_name": "database-0"}
    job["static_configs"] = [
        {"targets": [name], "labels": labels} for name, labels in (("a", pod), ("b", other))
    ]
    return dict(job)


def radiographs() -> Iterator[bytes]:
    """One that is read, one that the OOD detector refuses, two files that are neither."""
    yield encoded(example_image("effusion"))
    yield encoded(np.full((300, 300), 250, np.uint8))
    yield b"no image"
    broken = io.BytesIO()
    Image.new("L", (64, 64)).save(broken, "PNG")
    yield broken.getvalue()[:-30]


@contextmanager
def watched(folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that has seen radiographs come."""
    # Of one network instead of four, which start and answer sooner.
    environment = {
        "CXR_DETECTOR_MODEL_DIR": str(ROOT / "models/detector/yolov5n-both"),
        # Some gauges are counted now and then.
        "CXR_GATEWAY_DRIFT_REFRESH_S": "2",
    }
    with Stack(folder, environment) as stack, running(config_of(stack), folder) as server:
        # A rate needs to have seen what was there before.
        eventually(lambda: len(server.query("up == 1")) == 4, "not everything is asked")
        statuses = []
        for radiograph in radiographs():
            url, files = f"{stack.url}/api/v1/studies", {"file": ("radiograph", radiograph)}
            answer = httpx.post(url, files=files, timeout=120, trust_env=False)
            statuses.append((answer.status_code, answer.json()["status"]))
        assert statuses == [(201, "complete"), (201, "rejected"), (415, 415), (422, 422)]
        run = "increase(cxr_batch_run_seconds_count[5m]) > 0"
        eventually(lambda: len(server.query(run)) == 3, "the readings are not counted")
        last = 'increase(cxr_problems_total{job="gateway", type="unprocessable"}[5m]) > 0'
        eventually(lambda: bool(server.query(last)), "the refusals are not counted")
        eventually(lambda: bool(server.query("cxr_urgent_share")), "the share is not counted")
        yield server


# One test, for each worker that runs one of several would start the whole system.
def test_every_panel_and_every_rule_has_its_answer(tmp_path: Path) -> None:
    with watched(tmp_path) as prometheus:
        check_panels(prometheus)
        check_rules(prometheus)
        check_counts(prometheus)
        # What the cluster's job asks is named as the others are, and what is not ours is left out.
        assert prometheus.query('up{job="detector", instance="detector-5d9c"} == 1')
        assert len(prometheus.query("up")) == 4
        # Were a name or a label misspelt, it would be found.
        wrong = 'rate(cxr_studies_totl[1m]) / cxr_studies_total{status="faild"}'
        found = {"cxr_studies_totl", 'cxr_studies_total{status="faild"}'}
        assert prometheus.unknown(wrong) == found
        with pytest.raises(AssertionError, match="bad_data"):
            prometheus.query("sum(rate(cxr_studies_total))")


def check_panels(prometheus: Prometheus) -> None:
    """Each panel's expression has an answer, and each series that it asks for exists."""
    for title, expression in PANELS:
        asked = expression.replace("$__rate_interval", "5m")
        assert "$" not in asked
        assert prometheus.unknown(asked) == set(), title
        # A rate needs two samples, and a series may have begun with the latest.
        eventually(partial(answered, prometheus, asked), title)


def answered(prometheus: Prometheus, expression: str) -> bool:
    return bool(prometheus.query(expression))


def check_rules(prometheus: Prometheus) -> None:
    """Each rule's expression is valid, asks for what there is, and is evaluated."""
    for rule in rules():
        assert prometheus.unknown(rule["expr"]) == set(), rule
        prometheus.query(rule["expr"])

    def states() -> list[str]:
        groups = prometheus.client.get("/api/v1/rules").json()["data"]["groups"]
        # The findings are asked for every five minutes only.
        return [r["health"] for g in groups if g["name"] != "findings" for r in g["rules"]]

    eventually(lambda: set(states()) == {"ok"}, "not every rule is evaluated")


def check_counts(prometheus: Prometheus) -> None:
    """What is counted is what happened."""

    def value(expression: str) -> float:
        [series] = prometheus.query(expression)
        return float(series["value"][1])

    assert value('sum(cxr_studies_total{status="complete"})') == 1
    assert value('cxr_studies_total{status="rejected"}') == 1
    assert value("sum(cxr_ood_refusals_total)") == 1
    assert value('cxr_problems_total{job="gateway", type="unsupported-media"}') == 1
    assert value("cxr_classified_studies_total") == 1
    assert value("sum(cxr_findings_total)") == 14
    assert value("cxr_study_seconds_count") == 2
    assert value("count(count by (role) (cxr_model_info))") == 3
    eventually(lambda: value("cxr_studies_in_flight") == 0, "a reading does not end")
    assert 0 < value("cxr_archive_free_bytes / cxr_archive_size_bytes") <= 1
