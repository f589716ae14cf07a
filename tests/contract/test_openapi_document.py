"""What integrators' tools and people need of the OpenAPI document, of every operation and schema.

A new operation or field has to obey, too.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cxr_contracts import PROBLEM_MEDIA_TYPE
from cxr_gateway.api.problems import CATALOGUE, markdown
from cxr_gateway.app import create_app
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import PROBLEM_PREFIX, problem_names
from support.fake_gateway import RunningGateway, running_gateway, settings_for
from support.images import png

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = create_app(GatewaySettings.model_construct()).openapi()
OPERATIONS: dict[str, dict[str, Any]] = {
    operation["operationId"]: operation
    for path in DOCUMENT["paths"].values()
    for operation in path.values()
}
SCHEMAS: dict[str, dict[str, Any]] = DOCUMENT["components"]["schemas"]
# What a number is of; a share or a probability says its range by a maximum.
UNIT = re.compile(
    r"pixel|millisecond|_ms\b|second|byte|minute|degree|grey|PSI|stability index|boxes|0 to 1|unit"
    r"|95%",
    re.IGNORECASE,
)
# What has no lower end by its meaning says why.
OPEN = re.compile("below 0|own unit|as measured|95%", re.IGNORECASE)
# Of the errors of other services than this one, and of the operator's commands.
_ELSEWHERE = {"unknown-caller"}
# Not raised as an error of ours: FastAPI's own.
_OF_FASTAPI = {"invalid-request", "method-not-allowed"}


def parts_of(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and everything in it, but what it refers to."""
    if isinstance(schema, dict):
        if "$ref" not in schema:
            yield schema
        for name in ("items", "additionalProperties"):
            yield from parts_of(schema.get(name))
        for name in ("anyOf", "oneOf", "allOf"):
            for each in schema.get(name, []):
                yield from parts_of(each)


def properties() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, schema in SCHEMAS.items():
        for field, described in schema.get("properties", {}).items():
            yield name, field, described


def responses() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            yield name, status, response


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` of the components stands for."""
    if "$ref" not in part:
        return part
    found: Any = DOCUMENT
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_every_schema_and_property_is_described() -> None:
    nameless = [name for name, schema in SCHEMAS.items() if not schema.get("description")]
    assert nameless == []
    silent = [
        f"{name}.{field}" for name, field, described in properties()
        if not described.get("description")
    ]  # fmt: skip
    assert silent == []


def test_every_number_says_its_unit_and_its_range() -> None:
    for name, field, described in properties():
        text = f"{field} {described.get('description', '')}"
        for part in parts_of(described):
            where = f"{name}.{field}: {text}"
            if part.get("type") in ("integer", "number"):
                bounded = {"minimum", "exclusiveMinimum"} & set(part)
                assert bounded or OPEN.search(text), where
            if part.get("type") == "number" and "maximum" not in part:
                assert UNIT.search(text), where


def test_what_has_a_few_words_is_an_enum_and_a_time_is_a_date_time() -> None:
    for name, field, described in properties():
        parts = [part for part in parts_of(described) if part.get("type") == "string"]
        words = re.fullmatch(r"(`[\w-]+`(, | or |, or )?){2,}\.?", described.get("description", ""))
        for part in parts:
            assert words is None or {"enum", "const"} & set(part), f"{name}.{field} lists its words"
            if field.endswith("_at") or field == "at":
                assert part.get("format") == "date-time", f"{name}.{field}"
            if field.endswith(("_date", "_on")):
                assert part.get("format") == "date", f"{name}.{field}"


def test_what_a_status_means_is_true_of_the_operation() -> None:
    """Not of every operation that has it: a file is broken where one is sent, alone."""
    meanings = {one.meaning for one in CATALOGUE if one.name in ("conflict", "unprocessable")}
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            name, told = operation["operationId"], operation["responses"]
            said = {status: response["description"] for status, response in told.items()}
            sent = {*operation.get("requestBody", {}).get("content", {})}
            takes_file = bool(sent & {"multipart/form-data", "application/dicom"})
            assert not [text for text in said.values() if any(one in text for one in meanings)], (
                name
            )
            if not takes_file:
                assert re.search("broken|pixels|[Ff]ile is", f"{said.get('422')}") is None, name
                assert "pixels" not in said.get("413", ""), name
            if not sent:
                assert "body" not in said.get("422", ""), name
            if not re.search(r"_u?id\}|^/dicomweb", path):
                assert "department" not in said.get("404", ""), name
            elif "404" in said:
                assert "another department" in said["404"], name
            assert not any(key.startswith("x-") for one in told.values() for key in one), name
    for name, status, words in (
        ("createStudy", "422", "broken"),
        ("createWebhook", "422", "address"),
        ("retryWebhookDelivery", "409", "given up"),
        ("putFirstRead", "409", "another one"),
        ("getCorrections", "422", "takes none"),
        ("getProblemType", "404", "type of problem"),
        ("startSignIn", "404", "no sign-in"),
    ):
        assert words in OPERATIONS[name]["responses"][status]["description"], name


def test_every_operation_says_what_it_does_and_every_parameter_what_it_is() -> None:
    for name, operation in OPERATIONS.items():
        assert operation["summary"], name
        assert operation["description"], name
        assert len(operation["tags"]) == 1, name
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), f"{name}: {parameter['name']}"


def test_every_success_has_a_text_of_its_own_and_an_example_that_its_schema_allows() -> None:
    for name, status, response in responses():
        assert response["description"] not in ("", "Successful Response"), f"{name} {status}"
        if not status.startswith("2"):
            continue
        for kind, content in response.get("content", {}).items():
            schema = content["schema"]
            if schema.get("format") == "binary" or kind == "text/html":
                continue
            assert "example" in content, f"{name} {status} {kind}"
            jsonschema.validate(
                content["example"],
                schema | {"components": DOCUMENT["components"]},
                format_checker=jsonschema.FormatChecker(),
            )


def test_files_are_binary_in_both_directions() -> None:
    upload = OPERATIONS["createStudy"]["requestBody"]["content"]
    field = upload["multipart/form-data"]["schema"]["properties"]["file"]
    assert (field["type"], field["format"]) == ("string", "binary")
    for kind in ("application/dicom", "image/png", "image/jpeg"):
        assert upload[kind]["schema"] == {"type": "string", "format": "binary"}
    for name, status, response in responses():
        for kind, content in response.get("content", {}).items():
            if kind.startswith(("image/", "multipart/")) or kind.endswith(("/dicom", "/pdf")):
                assert content["schema"] == {"type": "string", "format": "binary"}, (name, status)


def test_the_catalogue_has_every_problem_that_the_gateway_can_raise() -> None:
    names = [one.name for one in CATALOGUE]
    assert len(names) == len({*names})
    assert {*names} == (problem_names() | _OF_FASTAPI) - _ELSEWHERE
    for one in CATALOGUE:
        assert one.example["type"] == one.type == f"{PROBLEM_PREFIX}{one.name}"
        extra = {*one.example} - {"type", "title", "status", "detail", "instance"}
        assert extra <= {member.name for member in one.members}
    assert (ROOT / "docs/problems.md").read_text() == markdown()


def test_every_refusal_is_of_types_of_the_catalogue_and_says_so() -> None:
    by_type = {one.type: one for one in CATALOGUE}
    for name, status, response in responses():
        problem = response.get("content", {}).get(PROBLEM_MEDIA_TYPE)
        if int(status) < 400 or (name, status) == ("storeInstances", "409"):
            assert problem is None, f"{name} {status}"
            continue
        assert problem is not None, f"{name} {status}"
        examples = [resolved(one)["value"] for one in problem["examples"].values()]
        assert examples, f"{name} {status}"
        for example in examples:
            assert by_type[example["type"]].status == int(status), f"{name} {status}"


def test_only_what_asks_the_inference_services_can_fail_for_them() -> None:
    failing = {
        name
        for name, _, response in responses()
        for content in response.get("content", {}).values()
        if "inference-unavailable" in content.get("examples", {})
    }
    assert failing == {"createStudy", "rerunStudy", "storeInstances"}


# Of every answer, whatever asks: docs/security.md names them.
USUAL = {
    "content-length", "content-type", "date", "server", "content-security-policy",
    "cross-origin-opener-policy", "cross-origin-resource-policy", "permissions-policy",
    "referrer-policy", "x-content-type-options", "x-frame-options", "cache-control",
    "accept-ranges", "last-modified", "vary", "content-encoding",
}  # fmt: skip


@pytest.fixture
async def gateway(tmp_path: Path) -> Any:
    async with running_gateway(settings_for(tmp_path / "archive")) as running:
        yield running


async def test_answers_have_the_headers_that_the_document_declares_and_no_others(
    gateway: RunningGateway,
) -> None:
    sent = await gateway.post(png())
    study = sent.json()["id"]
    answers = {"createStudy": sent}
    for path, item in DOCUMENT["paths"].items():
        wanted = item.get("get")
        if wanted is None or wanted["operationId"] in ("startSignIn", "finishSignIn"):
            continue
        place = path.format(
            study_id=study,
            finding="Mass",
            role="classifier",
            name="not-found",
            study_uid="1.2",
            series_uid="1.2",
            instance_uid="1.2",
            entry_id="-",
            webhook_id="0" * 16,
        )
        answers[wanted["operationId"]] = await gateway.client.get(place)
    assert sum(answer.is_success for answer in answers.values()) > 15
    for name, answer in answers.items():
        response = OPERATIONS[name]["responses"][str(answer.status_code)]
        declared = {header.lower() for header in response["headers"]}
        given = {header.lower() for header in answer.headers}
        assert given - declared <= USUAL, name
        assert declared - given <= {"retry-after"}, name
        if answer.status_code >= 400:
            types = response["content"][PROBLEM_MEDIA_TYPE]["examples"]
            assert answer.json()["type"].removeprefix(PROBLEM_PREFIX) in types, name


async def test_a_problems_type_is_explained_by_the_gateway_itself(gateway: RunningGateway) -> None:
    listed = (await gateway.client.get("/problems")).json()
    assert [one["name"] for one in listed] == [one.name for one in CATALOGUE]
    refused = (await gateway.client.get("/api/v1/studies/none")).json()
    name = refused["type"].rpartition(":")[2]
    assert (await gateway.client.get(f"/problems/{name}")).json()["title"] == refused["title"]
    page = await gateway.client.get(f"/problems/{name}", headers={"accept": "text/html,*/*"})
    assert page.headers["content-type"].startswith("text/html")
    assert "<h1>404 Not found</h1>" in page.text
    assert (await gateway.client.get("/problems/none")).status_code == 404
