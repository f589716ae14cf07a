"""What every service has: problems, request ids, limits, metrics, probes."""

import json
import logging
import sys
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request

from cxr_contracts import PROBLEM_MEDIA_TYPE, Problem
from cxr_serving.errors import NotFound, Overloaded
from cxr_serving.logs import JsonLineFormatter, request_id
from cxr_serving.metrics import ServiceMetrics
from cxr_serving.problems import problem_responses
from cxr_serving.product import VERSION
from cxr_serving.service import Readiness, create_service
from cxr_serving.uploads import forbid_unknown_query, read_single_file

MAX_BODY_BYTES = 100_000


def service(readiness: Readiness | None = None) -> FastAPI:
    app = create_service(
        title="t",
        version="1",
        description="d",
        metrics=ServiceMetrics(),
        readiness=readiness or Readiness(),
        max_body_bytes=MAX_BODY_BYTES,
    )

    @app.get("/things/{number}", responses=problem_responses(NotFound, 422))
    async def thing(number: int) -> dict[str, str | None]:
        if number == 404:
            raise NotFound("There is no such thing.", number=number)
        if number == 503:
            raise Overloaded("Too many.", retry_after_s=7)
        if number == 500:
            raise KeyError("a secret of the inside")
        return {"request_id": request_id.get()}

    @app.post("/upload")
    async def upload(request: Request) -> dict[str, object]:
        forbid_unknown_query(request, "known")
        file = await read_single_file(request, "image")
        return {"name": file.name, "type": file.media_type, "bytes": len(file.data)}

    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(service())
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


def problem_of(response: httpx.Response) -> Problem:
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    problem = Problem.model_validate_json(response.content)
    assert problem.status == response.status_code
    return problem


async def test_a_service_error_is_a_problem_with_its_extensions(client: httpx.AsyncClient) -> None:
    problem = problem_of(await client.get("/things/404"))
    assert (problem.type, problem.instance) == ("urn:cxr:problem:not-found", "/things/404")
    assert problem.extensions() == {"number": 404}


async def test_an_overload_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    response = await client.get("/things/503")
    assert problem_of(response).status == 503
    assert response.headers["Retry-After"] == "7"


async def test_an_unexpected_error_says_nothing_of_the_inside(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = await client.get("/things/500", headers={"X-Request-ID": "abc"})
    assert problem_of(response).type == "urn:cxr:problem:internal"
    assert "secret" not in response.text
    assert response.headers["X-Request-ID"] == "abc"
    assert "a secret of the inside" in caplog.text


async def test_a_wrong_parameter_is_named_and_not_echoed(client: httpx.AsyncClient) -> None:
    response = await client.get("/things/Smith")
    assert problem_of(response).extensions()["errors"][0]["where"] == "path.number"
    assert "Smith" not in str(problem_of(response).extensions())


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/no", 404), ("PUT", "/upload", 405)]
)
async def test_unknown_paths_and_methods_are_problems_too(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    assert problem_of(await client.request(method, path)).status == status


async def test_a_request_id_is_taken_over_or_made(client: httpx.AsyncClient) -> None:
    given = await client.get("/things/1", headers={"X-Request-ID": "from-the-gateway.1"})
    assert given.headers["X-Request-ID"] == "from-the-gateway.1"
    assert given.json() == {"request_id": "from-the-gateway.1"}
    made = [(await client.get("/things/1")).headers["X-Request-ID"] for _ in range(2)]
    assert len(set(made)) == 2


@pytest.mark.parametrize("bad", ["a b", "x" * 65, "{}", "a\tb"])
async def test_a_request_id_that_could_spoil_a_log_is_replaced(
    client: httpx.AsyncClient, bad: str
) -> None:
    response = await client.get("/things/1", headers={"X-Request-ID": bad})
    assert response.headers["X-Request-ID"] != bad


async def test_a_body_over_the_limit_is_refused_by_its_declared_length() -> None:
    async def unread() -> AsyncIterator[bytes]:
        yield b""
        raise AssertionError("the body was read")

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(service()), base_url="http://service"
    ) as client:
        headers = {"Content-Length": str(MAX_BODY_BYTES + 1)}
        response = await client.post("/upload", content=unread(), headers=headers)
    assert problem_of(response).status == 413


async def test_a_body_without_a_length_is_cut_off_at_the_limit(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        while True:
            sent += 10_000
            yield bytes(10_000)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = await client.post("/upload", content=endless(), headers=headers)
    assert problem_of(response).extensions() == {"max_bytes": MAX_BODY_BYTES}
    assert sent <= MAX_BODY_BYTES + 10_000


async def test_a_single_file_is_read(client: httpx.AsyncClient) -> None:
    data = bytes(range(256)) * 300
    response = await client.post("/upload", files={"image": ("ä.png", data, "image/png")})
    assert response.json() == {"name": "ä.png", "type": "image/png", "bytes": len(data)}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([("other", b"1")], "Unknown form field: other"),
        ([("image", b"1"), ("other", b"1")], "Unknown form field: other"),
        ([("image", b"1"), ("image", b"2")], "there are more"),
        ([("image", b"")], "empty"),
    ],
)
async def test_a_form_with_anything_but_one_file_is_refused(
    client: httpx.AsyncClient, files: list[tuple[str, bytes]], words: str
) -> None:
    response = await client.post("/upload", files=files)
    assert response.status_code == 422
    assert words in problem_of(response).detail


async def test_what_is_no_form_is_refused(client: httpx.AsyncClient) -> None:
    assert problem_of(await client.post("/upload", json={})).status == 415
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    broken = await client.post("/upload", content=b"--y\r\n", headers=headers)
    assert problem_of(broken).status == 400


async def test_an_unknown_query_parameter_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/upload?knwon=1", files={"image": b"1"})
    assert "knwon" in problem_of(response).detail


async def test_metrics_count_by_route_and_not_by_path(client: httpx.AsyncClient) -> None:
    for path in ("/things/1", "/things/2", "/things/500", "/a", "/b"):
        await client.get(path)
    lines = (await client.get("/metrics")).text.splitlines()
    assert (
        'cxr_http_requests_total{method="GET",route="/things/{number}",status="200"} 2.0' in lines
    )
    assert (
        'cxr_http_requests_total{method="GET",route="/things/{number}",status="500"} 1.0' in lines
    )
    assert 'cxr_http_requests_total{method="GET",route="unmatched",status="404"} 2.0' in lines


async def test_metrics_count_problems_by_type_whoever_answers_them(
    client: httpx.AsyncClient,
) -> None:
    before = (await client.get("/metrics")).text
    # There at zero, so that the first is an increase.
    assert 'cxr_problems_total{type="overloaded"} 0.0' in before
    for path in ("/things/503", "/things/500", "/things/x", "/nowhere", "/things/1"):
        await client.get(path)
    await client.post("/upload", content=bytes(MAX_BODY_BYTES + 1))
    after = (await client.get("/metrics")).text
    counted = ("overloaded", "internal", "invalid-request", "not-found", "too-large")
    for kind in counted:
        assert f'cxr_problems_total{{type="{kind}"}} 1.0' in after
    assert f'cxr_build_info{{version="{VERSION}"}} 1.0' in after


async def test_metrics_say_whether_the_service_is_ready() -> None:
    readiness = Readiness()
    transport = httpx.ASGITransport(service(readiness))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        assert "cxr_ready 0.0" in (await client.get("/metrics")).text
        readiness.mark_ready()
        assert "cxr_ready 1.0" in (await client.get("/metrics")).text


async def test_readiness_is_false_until_it_is_true() -> None:
    readiness = Readiness("The model is being loaded.")
    transport = httpx.ASGITransport(service(readiness))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        assert (await client.get("/livez")).status_code == 200
        before = await client.get("/readyz")
        assert problem_of(before).detail == "The model is being loaded."
        readiness.mark_ready()
        assert (await client.get("/readyz")).json() == {"status": "ready"}
        readiness.mark_unready("Gone.")
        assert (await client.get("/readyz")).status_code == 503


async def test_the_openapi_document_speaks_of_problems(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    responses = document["paths"]["/things/{number}"]["get"]["responses"]
    for status in ("404", "422"):
        assert set(responses[status]["content"]) == {PROBLEM_MEDIA_TYPE}
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_an_access_line_carries_no_query_and_no_path_value(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="cxr.access"):
        await client.get("/things/1?patient=Smith")
    (record,) = [record for record in caplog.records if record.name == "cxr.access"]
    line = json.loads(JsonLineFormatter("t").format(record))
    assert line["message"] == "GET /things/{number} 200"
    assert line["duration_ms"] >= 0
    assert "Smith" not in json.dumps(line)


def test_a_log_line_is_one_line_of_json_with_the_exception_in_it() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "f", 1, "failed %s", ("here",), sys.exc_info()
        )
    token = request_id.set("r1")
    try:
        text = JsonLineFormatter("t").format(record)
    finally:
        request_id.reset(token)
    line = json.loads(text)
    assert "\n" not in text
    assert (line["message"], line["request_id"], line["level"]) == ("failed here", "r1", "error")
    assert "ValueError: two" in line["exception"]
