"""The manifests: valid by Kubernetes' own schemas, and the same system as the compose file."""

import re
import shutil
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from cxr_gateway.cli import parser as command_line
from cxr_gateway.core.settings import GatewaySettings
from support.compose_stack import ONCE, ROOT, SERVICES, default
from support.kubernetes_manifests import (
    FOLDER,
    OVERLAYS,
    Object,
    container,
    documents,
    environment,
    objects_of,
    of_kind,
    pods,
    sources,
)

KUBECTL = shutil.which("kubectl")
INFERENCE = ("classifier", "detector")
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
    assert set(pods(objects)) == set(SERVICES) == set(COMPOSE) - set(ONCE)
    for name, pod in pods(objects).items():
        described = COMPOSE[name] | (overlaid.get(name, {}) if on_gpu else {})
        assert container(pod)["image"] == default(described["image"])


# Where a name server is, below which folder a volume is written, and that others reach the door.
OF_THE_CLUSTER = {
    "frontend": {"CXR_FRONT_RESOLVER", "CXR_FRONT_GATEWAY"},
    "gateway": {
        "CXR_GATEWAY_ACCESS",
        "CXR_GATEWAY_DATABASE_VOLUME_BYTES",
        "CXR_GATEWAY_OWN_NAMES",
        "CXR_GATEWAY_PUBLISHED_ADDRESS",
    },
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
    for name in INFERENCE:
        url = environment(pods(objects)["gateway"])[f"CXR_GATEWAY_{name.upper()}_URL"]
        assert url == f"http://{name}:{services[name]['spec']['ports'][0]['port']}"
        assert services[name]["spec"]["clusterIP"] == "None"


def test_the_gateways_pods_migrate_as_the_owner_before_they_serve(objects: list[Object]) -> None:
    pod = pods(objects)["gateway"]
    [first] = pod["initContainers"]
    described = COMPOSE["migrate"]
    assert first["command"] == described["command"]
    assert first["image"] == container(pod)["image"]
    assert first["securityContext"] == container(pod)["securityContext"]
    given = {entry["name"]: entry for entry in first["env"]}
    url = "CXR_GATEWAY_DATABASE_URL"
    assert given[url]["value"] == described["environment"][url]
    secrets = {
        one["valueFrom"]["secretKeyRef"]["key"]
        for one in (given["PGPASSWORD"], _entry(container(pod), "PGPASSWORD"))
    }
    assert secrets == {"migrator-password", "app-password"}
    assert "cxr_app@" in str(_entry(container(pod), url)["value"])


def _mounts(pod: Object) -> dict[str, str]:
    return {mount["name"]: mount["mountPath"] for mount in container(pod)["volumeMounts"]}


def _entry(one: Object, name: str) -> Object:
    return next(entry for entry in one["env"] if entry["name"] == name)


def asked_by_compose() -> set[tuple[str, str, int]]:
    """Who asks whom at which port, by the addresses in the compose file's environment."""
    return {
        (asker, asked, int(port))
        for asker, service in COMPOSE.items()
        if asker not in ONCE  # a gateway's pod does it
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
    assert chosen["values"] == ["gateway", *INFERENCE]
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


def test_a_service_on_a_gpu_asks_for_one_and_only_there() -> None:
    for overlay in OVERLAYS:
        for name in INFERENCE:
            pod = pods(objects_of(FOLDER / "overlays" / overlay))[name]
            limits = container(pod)["resources"]["limits"]
            assert ("nvidia.com/gpu" in limits) == (overlay == "gpu")
            assert ("nodeSelector" in pod) == (overlay == "gpu")
            assert ("tolerations" in pod) == (overlay == "gpu")


def test_the_ingress_lets_uploads_through_and_is_one_more_proxy(objects: list[Object]) -> None:
    folder = FOLDER / "ingress"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert listed["kind"] == "Component"
    assert {path.name for path in sources(folder)} == {
        *listed["resources"],
        *(patch["path"] for patch in listed["patches"]),
    }
    ingress = yaml.safe_load((folder / "ingress.yaml").read_text())
    for version in VERSIONS:
        kubernetes_validate.validate(ingress, version, strict=True)
    given = {
        name.rpartition("/")[2]: value for name, value in ingress["metadata"]["annotations"].items()
    }
    front = environment(pods(objects)["frontend"])
    assert given["proxy-body-size"] == f"{front['CXR_FRONT_MAX_UPLOAD_MB']}m"
    assert given["proxy-request-buffering"] == "off"
    [rule] = ingress["spec"]["rules"]
    [path] = rule["http"]["paths"]
    assert path["backend"]["service"]["name"] == "frontend"
    patch = yaml.safe_load((folder / "gateway.yaml").read_text())
    [patched] = patch["spec"]["template"]["spec"]["containers"]
    proxies = {entry["name"]: int(entry["value"]) for entry in patched["env"]}
    own = int(environment(pods(objects)["gateway"])["CXR_GATEWAY_TRUSTED_PROXIES"] or 0)
    assert proxies == {"CXR_GATEWAY_TRUSTED_PROXIES": own + 1}


def test_backups_are_a_component_that_reaches_the_database_and_the_archive(
    objects: list[Object],
) -> None:
    folder = FOLDER / "backup"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert listed["kind"] == "Component"
    assert {path.name for path in sources(folder)} == set(listed["resources"])
    own = [one for path in sources(folder) for one in documents(path)]
    for one in own:
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)
    claims = of_kind([*objects, *own], "PersistentVolumeClaim")
    gateway = pods(objects)["gateway"]
    jobs = of_kind(own, "CronJob")
    assert set(jobs) == {"backup", "verify-backup", "restore"}
    for name, job in jobs.items():
        template = job["spec"]["jobTemplate"]["spec"]["template"]
        pod = template["spec"]
        assert template["metadata"]["labels"] == {"app": "backup"}
        assert pod["restartPolicy"] == "Never"
        # As the gateway: its image, its rights, its user, whose files they are.
        for key in ("securityContext", "enableServiceLinks", "automountServiceAccountToken"):
            assert pod[key] == gateway[key], (name, key)
        one = container(pod)
        assert one["image"] == container(gateway)["image"]
        assert one["securityContext"] == container(gateway)["securityContext"]
        # A command that there is, on folders that are mounted, by a key.
        program, dash, module, *arguments = one["command"]
        assert (program, dash, module) == ("python", "-m", "cxr_gateway")
        options = command_line().parse_args(arguments)
        assert str(getattr(options, "into", None) or options.source) == "/backups"
        mounted = _mounts(pod)
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert set(mounted) == set(volumes)
        assert mounted["backups"] == "/backups"
        assert mounted["archive"] == _mounts(gateway)["archive"]
        for volume in ("archive", "backups"):
            assert volumes[volume]["persistentVolumeClaim"]["claimName"] in claims
        given = environment(pod)
        assert given["CXR_GATEWAY_BACKUP_KEY_FILE"] == f"{mounted['key']}/key"
        role = "migrator" if name == "restore" else "app"
        assert f"cxr_{role}@database:5432" in str(given["CXR_GATEWAY_DATABASE_URL"])
        password = _entry(one, "PGPASSWORD")["valueFrom"]["secretKeyRef"]
        assert password == {"name": "cxr-database", "key": f"{role}-password"}
    assert [name for name, job in jobs.items() if job["spec"].get("suspend")] == ["restore"]
    policies = of_kind([*objects, *own], "NetworkPolicy")
    out = policies["backup"]["spec"]["egress"]
    assert [(app(rule["to"][0]), of(rule)) for rule in out[:1]] == [("database", [5432])]
    assert out[1] == policies["names"]["spec"]["egress"][0]
    assert "ingress" not in policies["backup"]["spec"]
    into = policies["database-from-backup"]["spec"]
    assert into["podSelector"] == policies["database"]["spec"]["podSelector"]
    [rule] = into["ingress"]
    assert (app(rule["from"][0]), of(rule)) == ("backup", [5432])


def test_the_gateway_knows_how_large_the_databases_volume_is(objects: list[Object]) -> None:
    [claim] = of_kind(objects, "StatefulSet")["database"]["spec"]["volumeClaimTemplates"]
    gibibytes = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi"))
    given = environment(pods(objects)["gateway"])["CXR_GATEWAY_DATABASE_VOLUME_BYTES"]
    assert given == str(gibibytes << 30)
    # Under compose a volume has no size; a number all the same, for else nothing is alerted.
    said = COMPOSE["gateway"]["environment"]["CXR_GATEWAY_DATABASE_VOLUME_BYTES"]
    assert int(default(said)) == 20_000_000_000


def test_the_dicom_node_is_a_component_that_says_what_compose_says() -> None:
    folder = FOLDER / "dicom"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert listed["kind"] == "Component"
    assert {path.name for path in sources(folder)} == set(listed["resources"])
    objects = [one for path in sources(folder) for one in documents(path)]
    for one in objects:
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)
    [pod] = pods(objects).values()
    described = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["dicom"]
    given = environment(pod)
    assert set(given) == set(described["environment"])
    for name, value in given.items():
        assert value is None or value == default(described["environment"][name]), name
    assert container(pod)["image"] == default(described["image"])
    limits = container(pod)["resources"]["limits"]
    assert mebibytes(limits["memory"]) == mebibytes(default(described["mem_limit"]))
    opened = {port["name"]: port["containerPort"] for port in container(pod)["ports"]}
    published = {default(text).rpartition(":")[2] for text in described["ports"]}
    assert {str(port) for port in opened.values()} == published
    # A spool is one node's.
    [stateful] = of_kind(objects, "StatefulSet").values()
    assert stateful["spec"]["replicas"] == 1
    service = of_kind(objects, "Service")["dicom"]["spec"]
    assert {port["targetPort"] for port in service["ports"]} == {"dicom", "hl7"}
    policies = of_kind(objects, "NetworkPolicy")
    assert app(policies["gateway-from-dicom"]["spec"]["ingress"][0]["from"][0]) == "dicom"
    assert container(pod)["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsNonRoot"] is True
