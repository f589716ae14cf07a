"""What runs after `docker compose up`: healthy, without rights, behind one door, and it reads."""

import itertools
import re
import shlex

import docker
import httpx
import pytest
from docker.models.containers import Container
from docker.models.images import Image

from cxr_contracts import PROBLEM_MEDIA_TYPE
from support.compose_stack import (
    PASSWORD,
    SERVICES,
    ComposeStack,
    asked_inside,
    image_name,
    inside,
)

INFERENCE = ("classifier", "detector")
MAX_IMAGE_BYTES = 700_000_000


def added_bytes(image: Image) -> int:
    """Of the layers that were built here, on top of those that carry another image's name."""
    own = itertools.takewhile(
        lambda layer: all(tag in image.tags for tag in layer["Tags"] or []), image.history()
    )
    return sum(layer["Size"] for layer in own)


def test_every_part_is_healthy(stack: ComposeStack) -> None:
    for service in SERVICES:
        stack.wait_healthy(service)


@pytest.mark.parametrize("service", SERVICES)
def test_no_part_has_rights_that_it_does_not_need(stack: ComposeStack, service: str) -> None:
    container = stack.container(service)
    status = inside(container, "cat", "/proc/1/status")[1]
    users = re.search(r"^Uid:\s+(.*)$", status, re.MULTILINE)
    assert users is not None
    assert "0" not in users[1].split()
    for capabilities in ("CapPrm", "CapEff", "CapBnd"):
        assert f"{capabilities}:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    failed, said = inside(container, "touch", "/usr/mine")
    assert failed
    assert "Read-only file system" in said


@pytest.mark.parametrize("service", SERVICES)
def test_every_part_has_its_limits(stack: ComposeStack, service: str) -> None:
    host = stack.container(service).attrs["HostConfig"]
    assert 0 < host["Memory"] <= 2 * 2**30
    assert host["NanoCpus"] > 0
    assert 0 < host["PidsLimit"] <= 256
    assert not host["Privileged"]
    assert not host["Binds"] or all(":/var/lib/" in bind for bind in host["Binds"])


def test_only_the_reverse_proxy_is_published_and_on_loopback(stack: ComposeStack) -> None:
    published = {
        service: [place for ports in container.ports.values() for place in ports or []]
        for service in SERVICES
        for container in stack.containers(service)
    }
    door = published.pop("frontend")
    assert [place["HostIp"] for place in door] == ["127.0.0.1"]
    assert not any(published.values())


def test_the_services_reach_neither_the_database_nor_the_world(stack: ComposeStack) -> None:
    def reaches(container: Container, host: str, port: int) -> bool:
        script = f"import socket; socket.create_connection(({host!r}, {port}), 3)"
        return inside(container, "python", "-c", script)[0] == 0

    gateway = stack.container("gateway")
    assert reaches(gateway, "database", 5432)
    assert reaches(gateway, "detector", 8002)
    address = stack.container("database").attrs["NetworkSettings"]["Networks"]
    [database] = [network["IPAddress"] for network in address.values()]
    for name in INFERENCE:
        assert not reaches(stack.container(name), database, 5432)
        # A root server of the domain name system: an address that is there and answers on TCP.
        assert not reaches(stack.container(name), "198.41.0.4", 53)


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_small_and_says_what_it_is(engine: docker.DockerClient, service: str) -> None:
    image = engine.images.get(image_name(service))
    # What it has on top of its base image, which may be any.
    assert added_bytes(image) < MAX_IMAGE_BYTES
    labels = image.labels
    assert labels["org.opencontainers.image.title"] == service
    assert labels["org.opencontainers.image.version"] == image_name(service).rpartition(":")[2]
    assert labels["org.opencontainers.image.licenses"]
    assert image.attrs["Config"]["User"] not in ("", "root", "0")
    assert image.attrs["Config"]["Healthcheck"]["Test"]


@pytest.mark.parametrize("service", ["gateway", *INFERENCE])
def test_an_image_for_a_cpu_carries_neither_pytorch_nor_pip(
    stack: ComposeStack, service: str
) -> None:
    script = (
        "from importlib.util import find_spec; import site; "
        "print([n for n in ('torch', 'ultralytics', 'pip', 'honcho', 'data_store') "
        "if (s := find_spec(n)) and '/opt/venv' in str(s.origin)])"
    )
    assert inside(stack.container(service), "python", "-c", script) == (0, "[]\n")


def test_the_sample_radiograph_is_read_through_the_proxy(
    stack: ComposeStack, sample: bytes
) -> None:
    response = stack.post(sample, "RG1_UNCI.dcm")
    assert response.status_code == httpx.codes.CREATED, response.text
    study = response.json()
    assert study["status"] == "complete"
    assert study["problems"] == []
    assert len(study["top_findings"]) == 3
    assert len(study["findings"]) == 14
    assert {model["role"] for model in study["models"]} == {"ood", *INFERENCE}
    shown = stack.get(f"/api/v1/studies/{study['id']}")
    assert shown.json() == study
    overlay = stack.get(f"/api/v1/studies/{study['id']}/overlay.png")
    assert overlay.headers["content-type"] == "image/png"
    assert overlay.content.startswith(b"\x89PNG")


# Of what decodes, and of the gateway: how many system call filters each has.
_DECODERS = """
import pathlib
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    command = (folder / "cmdline").read_bytes().split(bytes(1))
    if b"cxr_gateway.imaging.decoder_worker" in command or folder.name == "1":
        lines = (folder / "status").read_text().splitlines()
        said = dict(line.split(":", 1) for line in lines if ":" in line)
        environment = (folder / "environ").read_bytes()
        print(folder.name == "1", said["Seccomp"].strip(), said["Seccomp_filters"].strip(),
              said["NoNewPrivs"].strip(), b"PGPASSWORD" in environment)
"""
# What a codec's hole would give: said through the socket that a decoder has, for it may not print.
_ESCAPES = """
import os, socket, subprocess, sys
if sys.argv[1:] != ["confined"]:
    ours, theirs = socket.socketpair()
    subprocess.run([sys.executable, "-c", sys.stdin.read(), "confined"], stdin=theirs, check=True)
    print(ours.recv(9999).decode(), end="")
    sys.exit()
from cxr_gateway.imaging.decoder_worker import confine
connection = socket.socket(fileno=0)
said = [",".join(confine(2_000_000_000))]
for escape in (lambda: os.listdir("/var/lib/cxr/archive"), lambda: open("/tmp/x", "w"), os.fork,
               lambda: socket.create_connection(("database", 5432), 3), lambda: os.kill(1, 0),
               lambda: os.execv("/bin/true", ["true"])):
    try:
        escape()
        said.append("done")
    except OSError as error:
        said.append(str(error.errno))
connection.sendall(" ".join(said).encode())
"""


def test_what_is_uploaded_is_decoded_by_processes_that_can_do_nothing_else(
    stack: ComposeStack, sample: bytes
) -> None:
    assert stack.post(sample, "RG1_UNCI.dcm").status_code in (200, 201)
    gateway = stack.container("gateway")
    status, said = inside(gateway, "python", "-c", _DECODERS)
    assert status == 0, said
    found = [line.split() for line in said.splitlines()]
    [own] = [line for line in found if line[0] == "True"]
    decoders = [line for line in found if line[0] == "False"]
    assert decoders
    for _, mode, filters, no_new_privileges, has_password in decoders:
        # One more than the engine gives to every process.
        assert (mode, int(filters)) == ("2", int(own[2]) + 1)
        assert (no_new_privileges, has_password) == ("1", "False")
    assert own[4] == "True"
    quoted = shlex.quote(_ESCAPES)
    status, said = inside(gateway, "sh", "-c", f"echo {quoted} | python -c {quoted}")
    # A name is not even looked up, for which there is an error of its own.
    assert (status, said.split()) == (0, ["rlimit,seccomp", "1", "1", "1", "-3", "1", "1"])


def test_the_archive_is_in_postgresql_behind_its_password(
    stack: ComposeStack, sample: bytes
) -> None:
    assert stack.post(sample, "RG1_UNCI.dcm").status_code in (200, 201)
    database = stack.container("database")
    count = "SELECT count(*) FROM studies"
    asked = ("psql", "-h", "127.0.0.1", "-U", "cxr_app", "-d", "cxr", "-Atc", count)
    status, output = inside(database, *asked, environment={"PGPASSWORD": PASSWORD})
    assert (status, int(output)) == (0, stack.get("/api/v1/studies").json()["total"])
    status, output = inside(database, *asked, environment={"PGPASSWORD": "a guess"})
    assert status != 0
    assert "password authentication failed" in output


def test_the_databases_superuser_is_not_reached_from_elsewhere(stack: ComposeStack) -> None:
    asked = ("psql", "-h", "127.0.0.1", "-U", "cxr", "-d", "cxr", "-Atc", "SELECT 1")
    database = stack.container("database")
    status, output = inside(database, *asked, environment={"PGPASSWORD": PASSWORD})
    assert status != 0
    assert "rejects connection" in output


def test_the_page_comes_from_the_proxy_with_the_gateways_own_headers(stack: ComposeStack) -> None:
    page = stack.get("/")
    assert page.status_code == 200
    assert '<div id="root">' in page.text
    from_gateway = stack.get("/api/v1/system")
    for name in ("content-security-policy", "x-frame-options", "referrer-policy"):
        assert page.headers.get_list(name) == from_gateway.headers.get_list(name) != []
    [script] = re.findall(r'src="(/assets/[^"]+\.js)"', page.text)
    asset = stack.get(script)
    assert asset.status_code == 200
    assert "immutable" in asset.headers["cache-control"]
    examples = stack.get("/examples/index.json")
    assert isinstance(examples.json()["examples"], list)
    assert examples.headers["cache-control"] == "no-cache"
    assert stack.get("/studies/anything").text == page.text
    assert stack.get("/assets/missing.js").status_code == 404
    assert stack.get("/missing.map").status_code == 404
    assert stack.get("/openapi.json").json()["openapi"]


@pytest.mark.parametrize("path", ["/metrics", "/info"])
def test_what_operators_ask_is_not_for_the_public(stack: ComposeStack, path: str) -> None:
    assert '<div id="root">' in stack.get(path).text
    assert "cxr_http_requests" in asked_inside(
        stack.container("gateway"), "http://127.0.0.1:8000/metrics"
    )


def test_a_request_id_goes_through_the_proxy_and_back(stack: ComposeStack) -> None:
    asked = stack.get("/api/v1/system", headers={"X-Request-ID": "from-the-ward-7"})
    assert asked.headers.get_list("x-request-id") == ["from-the-ward-7"]
    assert "from-the-ward-7" in stack.container("frontend").logs(tail=5).decode()


@pytest.mark.parametrize("n_bytes", [50_000_001, 52_000_000, 60_000_000])
def test_an_upload_that_is_too_large_gets_a_problem_whoever_refuses_it(
    stack: ComposeStack, n_bytes: int
) -> None:
    response = stack.post(bytes(n_bytes))
    assert response.status_code == 413
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    assert response.json()["type"] == "urn:cxr:problem:too-large"
