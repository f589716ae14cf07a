"""What Dockerfiles, compose files and the front door say, held to the code that they are about."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from cxr_classifier.settings import ClassifierSettings
from cxr_detector.settings import DetectorSettings
from cxr_dicom.settings import DicomSettings
from cxr_gateway.access.start import OpenToOthers, refuse_open_to_others
from cxr_gateway.api.upload import ENVELOPE_BYTES
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.middleware.security_headers import SecurityHeadersMiddleware
from cxr_serving.errors import PayloadTooLarge, ServiceError, Unavailable
from cxr_serving.model_folder import choose_model
from cxr_serving.product import VERSION
from cxr_serving.settings import ServiceSettings
from deploy.settings_table import markdown
from support.compose_stack import (
    DICOM,
    MONITORING,
    ONCE,
    ORTHANC,
    ROLES,
    ROOT,
    SERVICES,
    SHADOWS,
    default,
)

COMPOSE_FILES = ("docker-compose.yml", "compose.gpu.yml")
SIGN_IN = "compose.sign-in.yml"
SETTINGS: dict[str, ServiceSettings] = {
    "gateway": GatewaySettings(),
    "classifier": ClassifierSettings(),
    "detector": DetectorSettings(),
    "dicom": DicomSettings(),
}
DOCKERFILES = ("services/Dockerfile", "frontend/Dockerfile", "deploy/database/Dockerfile",
               "deploy/orthanc/Dockerfile")  # fmt: skip
NGINX = (ROOT / "deploy/nginx/reverse-proxy.conf.template").read_text()


def services_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())["services"]
    return found


def stage(service: str) -> str:
    """The last stage's part of the services' Dockerfile."""
    text = (ROOT / "services/Dockerfile").read_text()
    return text.split(f"FROM service AS {service}\n")[1].split("\nFROM ")[0]


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_every_variable_that_a_service_is_given_is_one_of_its_settings(name: str) -> None:
    for called, described in services_of(name).items():
        service = SHADOWS.get(called, called)
        if service not in SETTINGS:
            continue
        given = {
            variable: default(str(text))
            for variable, text in described["environment"].items()
            if variable.startswith("CXR_")
        }
        settings = SETTINGS[service]
        prefix = str(settings.model_config.get("env_prefix"))
        values = {name.removeprefix(prefix).lower(): as_read(text) for name, text in given.items()}
        assert values.keys() <= type(settings).model_fields.keys()
        type(settings).model_validate(values)


def test_the_example_names_every_variable_that_is_asked_for_with_its_default() -> None:
    text = "".join((ROOT / name).read_text() for name in COMPOSE_FILES)
    asked = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text))
    # The services' memory has another default in the overlay; the example shows the first.
    asked |= dict(re.findall(r"\$\{(\w+):-([^}]*)\}", (ROOT / "docker-compose.yml").read_text()))
    secrets = set(re.findall(r"\$\{(\w+):\?", text))
    example = dict(
        re.findall(r"^#?(CXR_\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    )
    assert set(example) == set(asked) | secrets
    for name, value in example.items():
        expected = "" if name in secrets or name == "CXR_REVISION" else asked[name]
        assert value == expected, name
    passwords = {f"CXR_DATABASE_{role}PASSWORD" for role in ROLES}
    assert secrets == {*passwords, "CXR_SERVICE_TOKEN"}


def test_every_image_is_of_this_version() -> None:
    for file in COMPOSE_FILES:
        for name, service in services_of(file).items():
            tag = default(service["image"]).rpartition(":")[2]
            if name in MONITORING:
                assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), name
            else:
                assert tag == VERSION


def test_images_open_and_probe_the_port_that_the_service_listens_on() -> None:
    for service, settings in SETTINGS.items():
        port = settings.model_dump()["port"]
        assert f"EXPOSE {port}\n" in stage(service)
        assert f'"http://127.0.0.1:{port}/readyz"' in stage(service)
    gateway = services_of("docker-compose.yml")["gateway"]["environment"]
    for name in ("classifier", "detector"):
        port = SETTINGS[name].model_dump()["port"]
        assert gateway[f"CXR_GATEWAY_{name.upper()}_URL"] == f"http://{name}:{port}"


def test_no_image_is_left_with_the_rights_of_root_or_with_a_secret() -> None:
    for name in DOCKERFILES:
        text = (ROOT / name).read_text()
        assert "PASSWORD" not in text
        assert "SECRET" not in text
        assert "://" not in text.replace("http://127.0.0.1", "")
    for service in SETTINGS:
        assert "\nUSER 10001:10001\n" in stage(service)


MIRRORS = {
    "services/Dockerfile": ("python -m pip", ["PIP_INDEX_URL", "PIP_CERT"]),
    "screening/Dockerfile": ("python -m pip", ["PIP_INDEX_URL", "PIP_CERT"]),
    "frontend/Dockerfile": ("npm ci", ["npm_config_registry", "NODE_EXTRA_CA_CERTS"]),
}


@pytest.mark.parametrize("name", MIRRORS)
def test_every_stage_that_fetches_packages_can_do_so_from_a_sites_mirror(name: str) -> None:
    command, arguments = MIRRORS[name]
    stages = re.split(r"^FROM .*\n", (ROOT / name).read_text(), flags=re.MULTILINE)[1:]
    fetching = [stage for stage in stages if command in stage]
    assert fetching
    for stage in fetching:
        before = stage[: stage.index(command)]
        for argument in arguments:
            assert f"\nARG {argument}=\n" in f"\n{before}", argument
        assert "COPY deploy/ca/ /site-ca/\n" in before
    # An image that runs has neither the address nor the authority.
    assert command not in stages[-1]
    for stage in (one for one in stages if one not in fetching):
        assert not any(word in stage for word in ("/site-ca/", *arguments))
    assert (ROOT / "deploy/ca/README.md").is_file()


def test_compose_hands_the_mirror_to_every_build_that_fetches_packages() -> None:
    for service, described in services_of("docker-compose.yml").items():
        build = described.get("build", {})
        for argument in MIRRORS.get(build.get("dockerfile", ""), ("", []))[1]:
            assert default(build["args"][argument]) == "", (service, argument)


def test_every_service_of_the_compose_file_is_hardened_and_limited() -> None:
    services = services_of("docker-compose.yml")
    assert set(services) == {*SERVICES, *ONCE, DICOM, ORTHANC, *MONITORING, *SHADOWS}
    for name, service in services.items():
        assert ("profiles" in service) == (name in {DICOM, ORTHANC, *MONITORING, *SHADOWS})
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"cpus", "mem_limit", "pids_limit", "restart"} <= service.keys(), name
        assert ("ports" in service) == (name in ("frontend", DICOM, ORTHANC, "grafana")), name


def test_the_monitoring_reaches_the_services_and_nobody_reaches_it() -> None:
    described = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services, networks = described["services"], described["networks"]
    on = {
        network: {name for name, service in services.items() if network in service["networks"]}
        for network in networks
    }
    assert on["services"] == {"gateway", "classifier", "detector", "prometheus", *SHADOWS}
    assert on["monitoring"] == {"prometheus", "grafana"}
    assert on["dashboard"] == {"grafana"}
    with_a_way_out = {name for name, network in networks.items() if not network.get("internal")}
    assert with_a_way_out == {"public", "dashboard"}
    # The DICOM node's page, which has a password and no TLS.
    assert services["dicom"]["ports"][-1] == "127.0.0.1:${CXR_DICOM_OPERATIONS_PORT:-8003}:8003"
    assert services["grafana"]["ports"] == ["127.0.0.1:${CXR_GRAFANA_PORT:-3000}:3000"]
    for name in MONITORING:
        user, _, _group = services[name]["user"].partition(":")
        assert int(user) > 0


def test_grafana_refuses_to_start_without_a_password_of_its_own(tmp_path: Path) -> None:
    grafana = services_of("docker-compose.yml")["grafana"]
    shell, option, script = grafana["entrypoint"]
    started = tmp_path / "run.sh"
    started.write_text("#!/bin/sh\necho started\n")
    started.chmod(0o755)
    script = script.replace("$$", "$").replace("/run.sh", str(started))

    def start(password: str) -> "subprocess.CompletedProcess[str]":
        given = {"GF_SECURITY_ADMIN_PASSWORD": password}
        command = [shell, option, script]
        return subprocess.run(command, env=given, check=False, capture_output=True, text=True)

    assert default(grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD"]) == ""
    refused = start("")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "CXR_GRAFANA_PASSWORD is not set" in refused.stderr
    assert start("a password; $(with) 'signs'").stdout == "started\n"


def test_sign_in_gives_the_gateway_a_way_out_and_changes_nothing_else() -> None:
    overlay = yaml.safe_load((ROOT / SIGN_IN).read_text())
    own = services_of("docker-compose.yml")["gateway"]["networks"]
    assert overlay == {
        "services": {"gateway": {"networks": [*own, "provider"]}},
        "networks": {"provider": {}},
    }


@pytest.mark.parametrize(
    ("lines", "starts"),
    [
        ({}, True),
        ({"CXR_BIND_ADDRESS": "0.0.0.0"}, False),
        ({"CXR_BIND_ADDRESS": "10.1.2.3"}, False),
        ({"CXR_BIND_ADDRESS": "0.0.0.0", "CXR_ACCESS": "closed"}, True),
        ({"CXR_BIND_ADDRESS": "0.0.0.0", "CXR_ACCESS": "behind-log-in"}, True),
        (
            {
                "CXR_BIND_ADDRESS": "0.0.0.0",
                "CXR_OIDC_ISSUER": "https://login.example.org",
                "CXR_OIDC_CLIENT_ID": "cxr",
                "CXR_PUBLIC_URL": "https://cxr.example.org",
            },
            True,
        ),
    ],
)
def test_published_elsewhere_than_on_loopback_the_gateway_has_to_know_who_may_come_in(
    lines: dict[str, str], starts: bool
) -> None:
    given = services_of("docker-compose.yml")["gateway"]["environment"]
    values: dict[str, Any] = {"host": re.findall(r"CXR_GATEWAY_HOST=(\S+)", stage("gateway"))[0]}
    for variable, text in given.items():
        if variable.startswith("CXR_GATEWAY_"):
            name = variable.removeprefix("CXR_GATEWAY_").lower()
            values[name] = as_read(filled_in(str(text), lines))
    settings = GatewaySettings.model_validate(values)
    if starts:
        refuse_open_to_others(settings)
        return
    with pytest.raises(OpenToOthers):
        refuse_open_to_others(settings)


def as_read(text: str) -> Any:
    """A variable's text as settings take it from the environment: a list is JSON."""
    return json.loads(text) if text.startswith("[") else text


def filled_in(text: str, lines: dict[str, str]) -> str:
    """What compose makes of a value, with these lines in `.env`."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: lines.get(found[1]) or found[2], text)


def test_a_shadow_is_the_same_service_with_another_model_and_starts_when_asked_for() -> None:
    services = services_of("docker-compose.yml")
    for name, role in SHADOWS.items():
        shadow, original = services[name], services[role]
        changed = {key for key in shadow if shadow[key] != original.get(key)}
        assert changed == {"profiles", "environment", "volumes", "cpus"}
        assert shadow["profiles"] == ["shadow"]
        [mounted] = shadow["volumes"]
        assert default(mounted) == "./models:/shadow-models:ro"
        model_dir = default(shadow["environment"][f"CXR_{role.upper()}_MODEL_DIR"])
        here = ROOT / model_dir.replace("/shadow-models", "models")
        assert (choose_model(here) / "manifest.json").is_file()
        # Nowhere, unless the operator says so.
        gateway = services["gateway"]["environment"]
        assert default(gateway[f"CXR_GATEWAY_SHADOW_{role.upper()}_URL"]) == ""


def test_a_gpu_is_asked_for_in_the_overlay_only() -> None:
    assert "nvidia" not in (ROOT / "docker-compose.yml").read_text()
    overlaid = services_of("compose.gpu.yml")
    assert set(overlaid) == {"classifier", "detector"}
    for service in overlaid.values():
        [device] = service["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
        assert service["build"]["args"] == {"DEVICE": "cuda"}


def test_what_an_image_copies_is_in_the_build_context() -> None:
    let_in = [line[1:] for line in lines_of(".dockerignore") if line.startswith("!")]
    for dockerfile in ("services/Dockerfile", "frontend/Dockerfile"):
        for line in lines_of(dockerfile):
            if line.startswith("COPY ") and "--from=" not in line:
                for source in line.split()[1:-1]:
                    assert any(source.startswith(allowed) for allowed in let_in), source


def test_the_pages_examples_are_in_the_build_context() -> None:
    assert (ROOT / "frontend/public/examples/index.json").is_file()
    left_out = [line for line in lines_of(".dockerignore") if line[:1] not in ("", "!", "#", "*")]
    assert not any("frontend/public/examples/".startswith(place) for place in left_out), left_out


def lines_of(name: str) -> list[str]:
    return (ROOT / name).read_text().splitlines()


def test_the_list_for_a_gpu_is_the_list_for_a_cpu_and_more() -> None:
    def pins(name: str) -> set[str]:
        text = (ROOT / f"requirements/{name}.txt").read_text()
        return set(re.findall(r"^[\w.-]+(?:\[[\w,-]+\])?==[^ ;]+", text, re.MULTILINE))

    assert pins("inference") < pins("cuda")
    assert {name.partition("==")[0] for name in pins("cuda")} >= {"torch", "timm", "safetensors"}
    shared = {
        name for name in pins("cuda") if name.startswith(("torch==", "timm==", "ultralytics"))
    }
    assert shared <= pins("training")


async def test_the_proxy_adds_the_gateways_own_headers_to_the_page() -> None:
    async def empty(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    protected = httpx.ASGITransport(SecurityHeadersMiddleware(empty, ["*"]))
    async with httpx.AsyncClient(transport=protected, base_url="http://gateway") as client:
        expected = dict((await client.get("/")).headers)
    expected.pop("cache-control")
    written = (ROOT / "deploy/nginx/page-headers.conf").read_text()
    found = re.findall(r'^add_header (\S+) "([^"]*)" always;$', written, re.MULTILINE)
    assert {name.lower(): value for name, value in found} == expected


@pytest.mark.parametrize("megabytes", [2, 50, 999])
def test_what_the_gateway_would_take_passes_the_proxy(megabytes: int) -> None:
    assert "client_max_body_size ${CXR_FRONT_MAX_UPLOAD_MB}m;" in NGINX
    services = services_of("docker-compose.yml")
    upload = services["gateway"]["environment"]["CXR_GATEWAY_MAX_UPLOAD_BYTES"]
    door = services["frontend"]["environment"]["CXR_FRONT_MAX_UPLOAD_MB"]
    assert default(upload) == str(GatewaySettings().max_upload_bytes)
    taken = int(upload.replace("${CXR_MAX_UPLOAD_MB:-50}", str(megabytes)))
    passed = int(door.replace("${CXR_MAX_UPLOAD_MB:-50}", str(megabytes))) * 2**20
    assert taken + ENVELOPE_BYTES <= passed


def test_the_proxy_leads_to_the_api_and_to_nothing_for_operators() -> None:
    locations = re.findall(r"location ([^{]+) \{([^}]*)", NGINX)
    led = {place for place, block in locations if "proxy_pass" in block}
    open_to_all = r"~ ^/(openapi\.json|livez|readyz|problems|problems/[a-z0-9-]+)$"
    assert led == {open_to_all, "~ ^/(api|dicomweb|fhir)/"}


def test_the_proxy_waits_as_long_as_the_gateway_does() -> None:
    settings = GatewaySettings()
    assert seconds("client_body_timeout") == settings.upload_idle_timeout_s
    slowest = max(settings.classifier_timeout_s, settings.detector_timeout_s)
    # Everybody who is let in may be before the last one, `max_concurrent_analyses` at a time.
    turns = settings.max_studies_in_flight / settings.max_concurrent_analyses
    assert seconds("proxy_read_timeout") >= slowest * turns


def seconds(directive: str) -> int:
    return max(int(found) for found in re.findall(rf"\b{directive} (\d+)s;", NGINX))


@pytest.mark.parametrize("error", [PayloadTooLarge, Unavailable])
def test_the_proxys_own_refusals_are_the_services_problems(error: type[ServiceError]) -> None:
    [text] = re.findall(rf"return {error.status} '(.*)';", NGINX)
    problem = json.loads(text)
    assert (problem["type"], problem["title"]) == (error.type, error.title)
    assert problem["status"] == error.status
    assert problem["detail"].endswith(".")


def test_the_table_of_settings_is_the_codes() -> None:
    written = (ROOT / "docs/settings.md").read_text()
    assert written == markdown(), "run python -m deploy.settings_table > docs/settings.md"
