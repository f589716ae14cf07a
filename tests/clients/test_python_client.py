"""cxr-client against a running gateway, and against one that is away or busy."""

import ast
import io
import json
import sys
from pathlib import Path

import httpx
import pydicom
import pytest
from starlette.requests import Request
from starlette.responses import Response

import cxr_client
from cxr_client import (
    AsyncClient,
    Client,
    Conflict,
    NotFound,
    NotReached,
    Refused,
    ReportText,
    Retries,
    ReviewChange,
    StudyStatus,
    Unavailable,
    WorklistState,
    findings_frame,
)
from cxr_client.frames import COLUMNS
from cxr_client.models import FindingTarget, Verdict
from cxr_client.uploads import MAX_FILES, in_requests
from deploy.client_models import source
from support.fake_gateway import Answer, FakeService
from support.images import png
from support.live_gateway import FakeServices, Gateway
from support.waiting import free_port

ROOT = Path(__file__).parents[2]
AT_ONCE = Retries(attempts=4, first_s=0.01, most_s=0.05)
pytestmark = pytest.mark.slow


def url_of(gateway: Gateway) -> str:
    return f"http://127.0.0.1:{gateway.port}"


def test_its_models_are_those_of_the_api() -> None:
    document = json.loads((ROOT / "docs/openapi.json").read_text())
    written = (ROOT / "clients/python/cxr_client/models.py").read_text()
    # Whatever its layout is.
    assert ast.dump(ast.parse(source(document))) == ast.dump(ast.parse(written))


def test_every_kind_of_source_is_one_study(
    gateway: Gateway, radiograph: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "thorax ä.dcm"
    path.write_bytes(radiograph)
    with Client(url_of(gateway)) as client:
        study = client.submit(path)
        assert (study.status, study.file_name) == (StudyStatus.COMPLETE, "thorax ä.dcm")
        assert study.patient.patient_id == "4711"
        assert client.submit(radiograph).id == study.id
        with path.open("rb") as opened:
            assert client.submit(opened).id == study.id
        data_set = client.submit(pydicom.dcmread(io.BytesIO(radiograph)))
        assert data_set.patient.patient_id == "4711"
        assert client.wait(study.id) == client.study(study.id)


def test_a_study_is_read_reviewed_reported_and_deleted(gateway: Gateway, radiograph: bytes) -> None:
    with Client(url_of(gateway)) as client:
        study = client.submit(radiograph)
        assert client.image(study.id).startswith(b"\x89PNG")
        assert client.overlay(study.id).startswith(b"\x89PNG")
        assert client.heat_map(study.id, study.heatmaps[0]).startswith(b"\x89PNG")
        assert client.original(study.id) == radiograph
        report = pydicom.dcmread(io.BytesIO(client.findings_report(study.id)))
        assert report.Modality == "SR"
        assert client.hl7(study.id).startswith("MSH|")
        assert client.fhir(study.id)["resourceType"] == "DiagnosticReport"
        assert client.set_worklist(study.id, "opened").state is WorklistState.OPENED
        assert client.worklist(study.id).state is WorklistState.OPENED
        target = FindingTarget(kind="finding", finding=study.findings[0].finding)
        change = ReviewChange(revision=1, verdict=Verdict.ACCEPTED, target=target)
        assert [one.target for one in client.put_review(study.id, change).entries] == [target]
        text = ReportText(examination="", comparison="", findings="", impression="A mass.")
        written = client.write_report(study.id, text, based_on=0, revision=1)
        assert written.versions[-1].text == text
        with pytest.raises(Conflict):
            client.write_report(study.id, text, based_on=0, revision=1)
        assert client.report_pdf(study.id).startswith(b"%PDF")
        assert client.rerun(study.id).id == study.id
        assert client.system().accepted[0] == "image/png"
        assert "createStudy" in client.me().may
        client.delete(study.id)
        with pytest.raises(NotFound) as missing:
            client.study(study.id)
        assert missing.value.type == "not-found"


def test_the_list_is_iterated_over_its_pages_and_becomes_a_table(gateway: Gateway) -> None:
    with Client(url_of(gateway)) as client:
        sent = {client.submit(png(seed=value)).id for value in range(40, 45)}
        first = client.page(limit=2)
        assert (len(first.items), first.total) == (2, 5)
        assert {study.id for study in client.studies()} == sent
        assert [*client.studies(status=[StudyStatus.FAILED], q="nothing")] == []
        told = [*client.changes()]
        assert {one.study_id for one in told} == sent
        client.set_worklist(told[0].study_id, "done")
        later = [*client.changes(told[-1].cursor)]
        assert [(one.kind, one.study_id) for one in later] == [("worklist", told[0].study_id)]
        frame = findings_frame(client.study(study_id) for study_id in sorted(sent))
        assert tuple(frame.columns) == COLUMNS
        assert len(frame) == 5 * 14
        assert frame.probability.between(0, 1).all()
        assert len(findings_frame(client.studies())) == 5 * 3


def test_many_files_are_sent_in_few_requests_and_each_has_its_answer(
    gateway: Gateway, radiograph: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "thorax ä.dcm"
    path.write_bytes(radiograph)
    texts = [f"text {number}".encode() for number in range(MAX_FILES)]
    with Client(url_of(gateway)) as client:
        found = [*client.submit_many([path, *texts, png(seed=60)])]
        assert [one.status for one in found] == [201, *[415] * MAX_FILES, 201]
        first = found[0]
        assert (first.file_name, first.problem) == ("thorax ä.dcm", None)
        assert first.study == client.study(first.study.id if first.study else "")
        assert found[1].problem is not None
        assert found[1].problem.type.endswith("unsupported-media")
        assert [*client.submit_many([])] == []


def test_files_that_are_too_large_for_one_request_go_in_several() -> None:
    groups = in_requests([b"x" * 40, b"y" * 60, b"z", b"w" * 200], max_bytes=100)
    assert [[len(one.content) for one in group] for group in groups] == [[40, 60], [1], [200]]


def test_what_is_refused_is_not_sent_again(gateway: Gateway) -> None:
    with Client(url_of(gateway)) as client:
        with pytest.raises(Refused) as refused:
            client.submit(b"GIF89a")
        assert refused.value.type == "unsupported-media"
        client.submit(png(seed=50), idempotency_key="order-1")
        with pytest.raises(Conflict):
            client.submit(png(seed=51), idempotency_key="order-1")


def test_an_upload_is_sent_again_until_the_services_answer(
    gateway: Gateway, services: FakeServices
) -> None:
    for service in (services.classifier, services.detector):
        service.answer = failing_twice(service)
    with Client(url_of(gateway), retries=Retries(attempts=1)) as hasty:
        with pytest.raises(Unavailable) as away:
            hasty.submit(png())
        assert away.value.type == "inference-unavailable"
        assert hasty.study(away.value.study_id or "").status is StudyStatus.FAILED
    with Client(url_of(gateway), retries=AT_ONCE) as patient:
        study = patient.submit(png())
    assert (study.id, study.status) == (away.value.study_id, StudyStatus.COMPLETE)


def failing_twice(service: FakeService) -> Answer:
    async def answer(request: Request) -> Response:
        return Response(status_code=500) if service.asked < 3 else await service.usual(request)

    return answer


def test_nobody_there_is_told_after_some_attempts() -> None:
    attempts = []
    transport = httpx.HTTPTransport()
    send = transport.handle_request

    def counted(request: httpx.Request) -> httpx.Response:
        attempts.append(request.headers.get("idempotency-key"))
        return send(request)

    transport.handle_request = counted  # type: ignore[method-assign]
    http = httpx.Client(transport=transport)
    with http, Client(f"http://127.0.0.1:{free_port()}", retries=AT_ONCE, http=http) as client:
        with pytest.raises(NotReached):
            client.submit(png())
        assert len(attempts) == AT_ONCE.attempts
        assert len({*attempts}) == 1
        assert None not in attempts


async def test_the_asynchronous_client_does_the_same(gateway: Gateway, radiograph: bytes) -> None:
    async with AsyncClient(url_of(gateway)) as client:
        study = await client.submit(radiograph, name="a.dcm")
        assert (await client.wait(study.id)).id == study.id
        assert [one.id async for one in client.studies()] == [study.id]
        assert {one.study_id async for one in client.changes()} == {study.id}
        assert (await client.image(study.id)).startswith(b"\x89PNG")
        many = [one async for one in client.submit_many([radiograph, b"text"])]
        assert [one.status for one in many] == [200, 415]
        with pytest.raises(NotFound):
            await client.study("none")


def test_both_clients_have_the_same_calls() -> None:
    names = {name for name in vars(Client) if not name.startswith("_")}
    assert names == {name for name in vars(AsyncClient) if not name.startswith("_")}


def test_without_pandas_the_table_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"cxr-client\[pandas\]"):
        findings_frame([])


def test_everything_public_is_named() -> None:
    assert all(hasattr(cxr_client, name) for name in cxr_client.__all__)
    assert issubclass(Unavailable, cxr_client.CxrError)
