"""The page's files, headers, foreign hosts and pages, the API's description."""

import gzip
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cxr_contracts import PROBLEM_MEDIA_TYPE, Problem
from cxr_gateway.app import create_app
from cxr_gateway.cli import main
from cxr_gateway.cli.docs import document_text
from cxr_gateway.core.schemas import Study, StudyPage
from cxr_gateway.core.settings import GatewaySettings
from support.fake_gateway import RunningGateway, running_gateway, settings_for
from support.images import png

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/openapi.json"


@pytest.fixture
def page_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Reader</title>")
    (folder / "assets/app-1a2b.js").write_text("start()")
    (folder / "docs.html").write_text("<title>The API</title>")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "examples").mkdir()
    (folder / "examples/index.json").write_text('{"generator": null, "examples": []}')
    (folder / "examples/synthetic-mass.png").write_bytes(png())
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@pytest.fixture
async def gateway(tmp_path: Path, page_dir: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings_for(tmp_path / "archive", page_dir=page_dir)) as running:
        yield running


@pytest.mark.parametrize("path", ["/", "/index.html", "/studies/01k6", "/about"])
async def test_the_page_answers_to_its_own_routes(gateway: RunningGateway, path: str) -> None:
    response = await gateway.client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["cache-control"] == "no-cache"
    assert "Reader" in response.text


SCRIPT = "".join(f"step({number});" for number in range(20_000))


@pytest.fixture
async def answers(tmp_path: Path, page_dir: Path) -> AsyncIterator[RunningGateway]:
    """With a large script, and 50 studies."""
    (page_dir / "assets/large-3c4d.js").write_text(SCRIPT)
    (page_dir / "assets/large-3c4d.css").write_text("a{color:red}" * 200)
    async with running_gateway(settings_for(tmp_path / "archive", page_dir=page_dir)) as running:
        for number in range(4):
            await running.post(png(seed=number))
        yield running


async def raw(gateway: RunningGateway, path: str, **headers: str) -> tuple[httpx.Response, bytes]:
    """The answer, and its body as it comes over the wire."""
    async with gateway.client.stream("GET", path, headers=headers) as answer:
        return answer, b"".join([part async for part in answer.aiter_raw()])


@pytest.mark.parametrize(
    "path",
    ["/assets/large-3c4d.js", "/assets/large-3c4d.css", "/api/v1/studies", "/openapi.json"],
)
async def test_what_the_page_is_made_of_is_compressed_without_a_proxy(
    answers: RunningGateway, path: str
) -> None:
    plain, whole = await raw(answers, path, **{"Accept-Encoding": "identity"})
    answer, body = await raw(answers, path, **{"Accept-Encoding": "br, gzip, deflate"})
    assert "content-encoding" not in plain.headers
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == whole
    assert len(body) < len(whole) / 2
    assert answer.headers.get("content-length", str(len(body))) == str(len(body))
    for one in (plain, answer):
        assert "Accept-Encoding" in one.headers["vary"]
    if (tag := plain.headers.get("etag")) is not None:
        assert answer.headers["etag"] == f"W/{tag}"
        again, nothing = await raw(answers, path, **{"If-None-Match": f"W/{tag}"})
        assert (again.status_code, nothing, again.headers["etag"]) == (304, b"", f"W/{tag}")
        plainly, _ = await raw(answers, path, **{"If-None-Match": tag})
        assert (plainly.status_code, plainly.headers["etag"]) == (304, tag)
    head = await answers.client.head(path)
    assert head.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip;q=0, *", "*;q=0"])
async def test_nobody_gets_gzip_unasked(answers: RunningGateway, accepted: str) -> None:
    answer, body = await raw(answers, "/assets/large-3c4d.js", **{"Accept-Encoding": accepted})
    assert "content-encoding" not in answer.headers
    assert body == SCRIPT.encode()


async def test_images_files_small_answers_parts_and_posts_are_not_compressed(
    answers: RunningGateway,
) -> None:
    study = (await answers.client.get("/api/v1/studies")).json()["items"][0]["id"]
    base = f"/api/v1/studies/{study}"
    for path in (
        "/examples/synthetic-mass.png",
        f"{base}/image.png",
        f"{base}/original",
        "/assets/app-1a2b.js",
    ):
        answer, _ = await raw(answers, path)
        assert (answer.status_code, answer.headers.get("content-encoding")) == (200, None), path
    part, body = await raw(answers, "/assets/large-3c4d.js", Range="bytes=0-4999")
    assert (part.status_code, part.headers.get("content-encoding")) == (206, None)
    assert body == SCRIPT[:5000].encode()
    sent = await answers.post(png(seed=9))
    assert len(sent.content) > 1024
    assert "content-encoding" not in sent.headers


async def test_the_description_of_the_api_is_a_page_of_its_own(gateway: RunningGateway) -> None:
    response = await gateway.client.get("/docs")
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-cache")
    assert "The API" in response.text


async def test_assets_are_kept_forever_and_other_files_are_asked_for_each_time(
    gateway: RunningGateway,
) -> None:
    asset = await gateway.client.get("/assets/app-1a2b.js")
    assert (asset.status_code, asset.text) == (200, "start()")
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    icon = await gateway.client.get("/favicon.svg")
    assert icon.headers["cache-control"] == "no-cache"
    again = await gateway.client.get("/", headers={"If-None-Match": "x"})
    assert (await gateway.client.head("/")).headers["etag"] == again.headers["etag"]


@pytest.mark.parametrize(
    ("path", "media_type"),
    [("/examples/index.json", "application/json"), ("/examples/synthetic-mass.png", "image/png")],
)
async def test_examples_are_files_of_the_page(
    gateway: RunningGateway, path: str, media_type: str
) -> None:
    response = await gateway.client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].partition(";")[0] == media_type
    # Made anew, a radiograph keeps its name: an old one must not stay in a browser.
    assert response.headers["cache-control"] == "no-cache"
    known = {"If-None-Match": response.headers["etag"]}
    assert (await gateway.client.get(path, headers=known)).status_code == 304
    assert "connect-src 'self'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/assets/gone.js",
        "/examples/gone.png",
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/api/v1/nothing",
        "/api/v2/studies",
        "/docs/v1.html",
    ],
)
async def test_what_is_not_there_is_a_problem_and_not_the_page(
    gateway: RunningGateway, path: str
) -> None:
    response = await gateway.client.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE


async def test_a_method_that_a_route_does_not_have_is_405(gateway: RunningGateway) -> None:
    for method, path in (("DELETE", "/api/v1/studies"), ("POST", "/")):
        response = await gateway.client.request(method, path)
        assert response.status_code == 405
        assert Problem.model_validate_json(response.content).status == 405


async def test_without_a_page_a_sentence_says_how_to_get_one(tmp_path: Path) -> None:
    async with running_gateway(settings_for(tmp_path / "archive")) as gateway:
        response = await gateway.client.get("/")
        assert response.status_code == 200
        assert response.text.startswith("The page is not built: run `make")
        assert (await gateway.client.get("/studies/x")).status_code == 404


@pytest.mark.parametrize("path", ["/", "/api/v1/studies", "/api/v1/nothing", "/livez"])
async def test_every_answer_carries_the_protecting_headers(
    gateway: RunningGateway, path: str
) -> None:
    headers = (await gateway.client.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-request-id"]


async def test_what_the_api_tells_is_kept_in_no_cache(gateway: RunningGateway) -> None:
    study = await gateway.post(png())
    for path in ("/api/v1/studies", study.headers["location"], "/api/v1/system"):
        assert (await gateway.client.get(path)).headers["cache-control"] == "no-store"
    image = await gateway.client.get(f"{study.headers['location']}/image.png")
    assert image.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("host", ["evil.test", "localhost.evil.test", "127.0.0.1.evil.test:8000"])
async def test_a_foreign_name_that_leads_here_is_refused(
    gateway: RunningGateway, host: str
) -> None:
    response = await gateway.client.get("/api/v1/studies", headers={"Host": host})
    assert response.status_code == 421
    assert "ALLOWED_HOSTS" in response.json()["detail"]


async def test_neighbours_call_it_by_its_own_name(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive", own_names=["gateway"])
    async with running_gateway(settings) as gateway:
        for host, status in (("gateway:8000", 200), ("localhost", 200), ("evil.test", 421)):
            answer = await gateway.client.get("/api/v1/studies", headers={"Host": host})
            assert answer.status_code == status


@pytest.mark.parametrize("path", ["/metrics", "/info", "/livez", "/readyz"])
@pytest.mark.parametrize(
    ("host", "status"),
    [("172.30.0.5:8000", 200), ("[fd00::5]:8000", 200), ("evil.test", 421), ("", 421)],
)
async def test_a_monitor_asks_by_address(
    gateway: RunningGateway, path: str, host: str, status: int
) -> None:
    assert (await gateway.client.get(path, headers={"Host": host})).status_code == status


@pytest.mark.parametrize("path", ["/", "/api/v1/studies", "/api/v1/system", "/openapi.json"])
async def test_nothing_else_is_answered_by_a_foreign_address(
    gateway: RunningGateway, path: str
) -> None:
    response = await gateway.client.get(path, headers={"Host": "172.30.0.5:8000"})
    assert response.status_code == 421


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
async def test_the_names_of_loopback_are_answered(gateway: RunningGateway, host: str) -> None:
    response = await gateway.client.get("/api/v1/studies", headers={"Host": host})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["127.0.0.1", "localhost", "::1", "[::1]"]),
        ({"host": "0.0.0.0"}, ["*"]),
        ({"host": "0.0.0.0", "allowed_hosts": ["reader.test"]}, ["reader.test"]),
    ],
)
def test_the_names_follow_from_the_address_unless_they_are_set(
    given: dict[str, Any], expected: list[str]
) -> None:
    assert GatewaySettings(**given).resolved_allowed_hosts == expected


async def test_a_page_of_another_site_cannot_send_a_radiograph(gateway: RunningGateway) -> None:
    response = await gateway.post(png(), **{"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 403
    assert gateway.files() == []
    assert (await gateway.post(png(), **{"Sec-Fetch-Site": "same-origin"})).status_code == 201


def test_the_committed_description_is_what_the_code_says() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document_text("openapi"), "run make generate"


def test_the_check_of_a_stale_description_fails_with_the_command_that_helps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "openapi.json"
    assert main(["docs", "openapi", "--check", str(stale)]) == 1
    stale.write_text(document_text("openapi") + " ")
    assert main(["docs", "openapi", "--check", str(stale)]) == 1
    assert f"cxr-gateway docs openapi > {stale}" in capsys.readouterr().err
    stale.write_text(document_text("openapi"))
    assert main(["docs", "openapi", "--check", str(stale)]) == 0


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    paths = json.loads(DOCUMENT.read_text(encoding="utf-8"))["paths"]
    return [(verb, path, op) for path, item in paths.items() for verb, op in item.items()]


def test_operations_have_readable_names() -> None:
    names = [operation["operationId"] for _, path, operation in operations() if "/api/" in path]
    assert len(names) == len(set(names)) > 20
    # What generated clients call: a verb and what it is done to.
    verbs = "get|list|stream|create|delete|rerun|set|put|write|withdraw|start|finish|end|sign"
    verbs += "|test|retry"
    assert [name for name in names if not re.fullmatch(rf"({verbs})([A-Z][a-z]+)+", name)] == []


def test_the_examples_are_answers_that_could_be_given() -> None:
    examples = {
        (operation["operationId"], code): response["content"]["application/json"]["example"]
        for _, _, operation in operations()
        for code, response in operation["responses"].items()
        if "example" in response.get("content", {}).get("application/json", {})
    }
    for operation in ("createStudy", "getStudy", "rerunStudy"):
        Study.model_validate(examples[operation, "200"])
    StudyPage.model_validate(examples["listStudies", "200"])


def test_no_field_of_an_answer_is_optional_for_a_generated_client() -> None:
    schemas = json.loads(DOCUMENT.read_text(encoding="utf-8"))["components"]["schemas"]
    for name in ("Study", "StudySummary", "StudyPage", "SystemStatus", "Box", "Triage"):
        assert sorted(schemas[name]["required"]) == sorted(schemas[name]["properties"])


async def test_an_app_opens_nothing_before_its_lifespan(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive")
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
    assert not settings.archive_dir.exists()
