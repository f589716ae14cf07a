"""The manifests: valid by Kubernetes' own schemas, and the same system as the compose file."""

import re
import shutil
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from compose_stack import ROOT, SERVICES, default
from cxr_gateway.core.settings import GatewaySettings
from kubernetes_manifests import (
    FOLDER,
    OVERLAYS,
    Object,
    container,
    environment,
    objects_of,
    of_kind,
    pods,
    sources,
)

KUBECTL = shutil.which("kubectl")
READERS = ("classifier", "detector")
# The oldest release with everything that is used, and the newest one with a schema here.
VERSIONS = ("1.29", kubernetes_validate.latest_version())
COMPOSE: dict[str, Any] = {
    name: service
    for name, service in yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
        "services"
    ].items()
    if "profiles" not in service
}


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return objects_of(FOLDER / "overlays" / request.param)


def mebibytes(text: str) -> int:
    found = re.fullmatch(r"(\d+)([mgMG])i?", text)
    assert found is not None, text
    return int(found[1]) * {"m": 1, "g": 1024}[found[2].lower()]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(objects: list[Object], version: str) -> None:
    for one in objects:
        kubernetes_validate.validate(one, version, strict=True)


def test_a_misspelt_field_would_be_found(objects: list[Object]) -> None:
    one = of_kind(objects, "Deployment")["gateway"]
    one["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(one, VERSIONS[-1], strict=True)


def test_no_file_is_left_out() -> None:
    for folder in (FOLDER / "base", *(FOLDER / "overlays" / name for name in OVERLAYS)):
        listed = yaml.safe_load((folder / "kustomization.yaml").read_text())
        names = {*listed["resources"], *(patch["path"] for patch in listed.get("patches", []))}
        assert {path.name for path in sources(folder)} == {
            name for name in names if name.endswith(".yaml")
        }


@pytest.mark.skipif(KUBECTL is None, reason="kubectl, which carries kustomize, is not installed")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_itself_puts_the_same_together(overlay: str) -> None:
    folder = FOLDER / "overlays" / overlay
    command = [str(KUBECTL), "kustomize", str(folder)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    made, expected = list(yaml.safe_load_all(output)), objects_of(folder)
    for one in made:
        one["metadata"].pop("labels", None)
        if one["kind"] != "Namespace":
            assert one["metadata"].pop("namespace") == "cxr"
    for one in expected:
        one["metadata"].pop("labels", None)
    assert in_order(made) == in_order(expected)


def in_order(objects: list[Object]) -> list[Object]:
    for pod in pods(objects).values():
        container(pod)["env"].sort(key=lambda entry: str(entry["name"]))
    return sorted(objects, key=lambda one: (one["kind"], one["metadata"]["name"]))


def test_every_pod_runs_without_rights(objects: list[Object]) -> None:
    for name, pod in pods(objects).items():
        assert pod["enableServiceLinks"] is False, name
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert container(pod)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name


def test_every_pod_is_probed(objects: list[Object]) -> None:
    for name, pod in pods(objects).items():
        one = container(pod)
        if name == "database":
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= one.keys()
            continue
        alive = "/healthz" if name == "frontend" else "/livez"
        assert one["livenessProbe"]["httpGet"]["path"] == alive
        assert one["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_both_ways_run_the_same_parts_from_the_same_images(objects: list[Object]) -> None:
    overlaid = yaml.safe_load((ROOT / "compose.gpu.yml").read_text())["services"]
    on_gpu = "nvidia.com/gpu" in str(pods(objects)["detector"])
    assert set(pods(objects)) == set(SERVICES) == set(COMPOSE)
    for name, pod in pods(objects).items():
        described = COMPOSE[name] | (overlaid.get(name, {}) if on_gpu else {})
        assert container(pod)["image"] == default(described["image"])


# Where a name server is, below which folder a volume is written, and that others reach the door.
OF_THE_CLUSTER = {
    "frontend": {"CXR_FRONT_RESOLVER", "CXR_FRONT_GATEWAY"},
    "gateway": {"CXR_GATEWAY_ACCESS", "CXR_GATEWAY_PUBLISHED_ADDRESS"},
    "database": {"PGDATA"},
}


def test_both_ways_set_the_same_variables_to_the_same_values(objects: list[Object]) -> None:
    overlaid = yaml.safe_load((ROOT / "compose.gpu.yml").read_text())["services"]
    on_gpu = "nvidia.com/gpu" in str(pods(objects)["detector"])
    for name, pod in pods(objects).items():
        expected = dict(COMPOSE[name]["environment"])
        if on_gpu and name in overlaid:
            expected |= overlaid[name]["environment"]
        given = environment(pod)
        own = OF_THE_CLUSTER.get(name, set())
        assert set(given) - own == set(expected) - own, name
        for variable, value in given.items():
            if value is not None and variable not in own:
                assert value == default(expected[variable]), variable
    assert environment(pods(objects)["gateway"])["CXR_GATEWAY_ACCESS"] == "closed"
    assert environment(pods(objects)["frontend"])["CXR_FRONT_GATEWAY"] == (
        f"gateway.cxr.svc.cluster.local:{GatewaySettings().port}"
    )


def test_the_limits_are_the_same(objects: list[Object]) -> None:
    overlaid = yaml.safe_load((ROOT / "compose.gpu.yml").read_text())["services"]
    on_gpu = "nvidia.com/gpu" in str(pods(objects)["detector"])
    for name, pod in pods(objects).items():
        described = COMPOSE[name] | (overlaid.get(name, {}) if on_gpu else {})
        limits = container(pod)["resources"]["limits"]
        assert mebibytes(limits["memory"]) == mebibytes(default(described["mem_limit"])), name
        assert limits["cpu"] == default(str(described["cpus"])), name


def test_a_service_leads_to_its_pods_port(objects: list[Object]) -> None:
    services = of_kind(objects, "Service")
    assert set(services) == set(SERVICES)
    for name, service in services.items():
        [port] = service["spec"]["ports"]
        [open_port] = container(pods(objects)[name])["ports"]
        assert service["spec"]["selector"] == {"app": name}
        assert port["targetPort"] == open_port["name"]
        if name != "frontend":
            assert port["port"] == open_port["containerPort"]
    for reader in READERS:
        url = environment(pods(objects)["gateway"])[f"CXR_GATEWAY_{reader.upper()}_URL"]
        assert url == f"http://{reader}:{services[reader]['spec']['ports'][0]['port']}"
        assert services[reader]["spec"]["clusterIP"] == "None"


def asked_by_compose() -> set[tuple[str, str, int]]:
    """Who asks whom at which port, by the addresses in the compose file's environment."""
    return {
        (asker, asked, int(port))
        for asker, service in COMPOSE.items()
        for text in service["environment"].values()
        for asked, port in re.findall(rf"\b({'|'.join(SERVICES)}):(\d+)", str(text))
    }


def test_only_what_must_speak_may_speak(objects: list[Object]) -> None:
    policies = of_kind(objects, "NetworkPolicy")
    denied = policies.pop("default-deny")["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    policies.pop("names")
    policies.pop("metrics")
    into, out = set(), set()
    for name, policy in policies.items():
        assert policy["spec"]["podSelector"] == {"matchLabels": {"app": name}}
        for rule in policy["spec"].get("ingress", []):
            into |= {(app(peer), name, port) for peer in rule.get("from", []) for port in of(rule)}
        for rule in policy["spec"].get("egress", []):
            out |= {(name, app(peer), port) for peer in rule["to"] for port in of(rule)}
    assert into == out == asked_by_compose()
    assert len(into) == 4


def test_a_prometheus_of_the_cluster_is_told_where_to_ask_and_may(objects: list[Object]) -> None:
    policy = of_kind(objects, "NetworkPolicy")["metrics"]["spec"]
    [chosen] = policy["podSelector"]["matchExpressions"]
    [rule] = policy["ingress"]
    assert chosen["values"] == ["gateway", *READERS]
    workloads = of_kind(objects, "Deployment", "StatefulSet")
    asked = set()
    for name, workload in workloads.items():
        annotations = workload["spec"]["template"]["metadata"].get("annotations", {})
        assert bool(annotations) == (name in chosen["values"])
        if annotations:
            [opened] = container(pods(objects)[name])["ports"]
            assert annotations["prometheus.io/scrape"] == "true"
            assert annotations["prometheus.io/path"] == "/metrics"
            assert annotations["prometheus.io/port"] == str(opened["containerPort"])
            asked.add(opened["containerPort"])
    assert asked == set(of(rule))


def app(peer: Object) -> str:
    return str(peer["podSelector"]["matchLabels"]["app"])


def of(rule: Object) -> list[int]:
    return [entry["port"] for entry in rule["ports"]]


def test_what_grows_by_itself_states_no_number_and_keeps_one_pod(objects: list[Object]) -> None:
    deployments = of_kind(objects, "Deployment")
    scaled = set()
    for one in of_kind(objects, "HorizontalPodAutoscaler").values():
        target = one["spec"]["scaleTargetRef"]["name"]
        assert "replicas" not in deployments[target]["spec"], target
        assert one["spec"]["minReplicas"] >= 2
        scaled.add(target)
    for name, deployment in deployments.items():
        assert name in scaled or deployment["spec"]["replicas"] >= 2, name
    budgets = of_kind(objects, "PodDisruptionBudget")
    assert set(budgets) == set(deployments)
    for name, budget in budgets.items():
        assert budget["spec"]["selector"] == {"matchLabels": {"app": name}}


def test_a_reader_on_a_gpu_asks_for_one_and_only_there() -> None:
    for overlay in OVERLAYS:
        for reader in READERS:
            pod = pods(objects_of(FOLDER / "overlays" / overlay))[reader]
            limits = container(pod)["resources"]["limits"]
            assert ("nvidia.com/gpu" in limits) == (overlay == "gpu")
            assert ("nodeSelector" in pod) == (overlay == "gpu")
            assert ("tolerations" in pod) == (overlay == "gpu")
