"""Services are killed and come back; a service in three containers."""

import re
from collections.abc import Iterator

import httpx

from support.compose_stack import ComposeStack, asked_inside, eventually, inside

_DETECTED = re.compile(
    r'^cxr_http_requests_total\{[^}]*route="/v1/detect"[^}]*status="200"[^}]*\} ([0-9.]+)$',
    re.MULTILINE,
)


def detected(stack: ComposeStack) -> list[int]:
    """How many radiographs each container of the detector has read, by its own metrics."""
    counts = []
    for container in stack.containers("detector"):
        metrics = asked_inside(container, "http://127.0.0.1:8002/metrics")
        counts.append(round(sum(float(count) for count in _DETECTED.findall(metrics))))
    return counts


def ready(stack: ComposeStack) -> bool:
    return stack.get("/readyz").status_code == httpx.codes.OK


def test_a_radiograph_is_partial_while_the_detector_is_away_and_complete_afterwards(
    stack: ComposeStack, radiographs: Iterator[bytes]
) -> None:
    stack.container("detector").kill()
    partial = stack.post(next(radiographs)).json()
    assert partial["status"] == "partial"
    assert [problem["service"] for problem in partial["problems"]] == ["detector"]
    stack.container("detector").start()
    stack.wait_healthy("detector")
    again = httpx.post(
        f"{stack.url}/api/v1/studies/{partial['id']}/rerun", timeout=60, trust_env=False
    )
    assert again.json()["status"] == "complete"
    assert stack.post(next(radiographs)).json()["status"] == "complete"


def test_a_service_that_ends_by_itself_is_started_again(stack: ComposeStack) -> None:
    container = stack.container("classifier")
    started = container.attrs["State"]["StartedAt"]
    inside(container, "python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")
    eventually(
        lambda: stack.container("classifier").attrs["State"]["StartedAt"] != started, stack.told()
    )
    stack.wait_healthy("classifier")


def test_a_study_outlives_the_gateway_that_read_it(
    stack: ComposeStack, radiographs: Iterator[bytes]
) -> None:
    study = stack.post(next(radiographs)).json()
    stack.container("gateway").kill()
    refused = stack.get(f"/api/v1/studies/{study['id']}")
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert refused.json()["type"] == "urn:cxr:problem:unavailable"
    eventually(lambda: stack.health("frontend") == ["unhealthy"], stack.told())
    stack.container("gateway").start()
    eventually(lambda: ready(stack), stack.told())
    assert stack.get(f"/api/v1/studies/{study['id']}").json() == study
    image = stack.get(f"/api/v1/studies/{study['id']}/image.png")
    assert image.status_code == httpx.codes.OK


def test_without_its_database_the_gateway_refuses_and_then_goes_on(
    stack: ComposeStack, radiographs: Iterator[bytes]
) -> None:
    stack.container("database").kill()
    eventually(lambda: not ready(stack), stack.told())
    refused = stack.post(next(radiographs))
    assert refused.status_code == 503
    assert "database" in refused.json()["detail"]
    stack.container("database").start()
    eventually(lambda: ready(stack), stack.told())
    assert stack.post(next(radiographs)).json()["status"] == "complete"


def test_three_detectors_share_the_radiographs(
    stack: ComposeStack, radiographs: Iterator[bytes]
) -> None:
    stack.compose("up", "--detach", "--no-build", "--no-recreate", "--scale", "detector=3")
    stack.wait_healthy("detector", 3)
    before = dict(zip((c.id for c in stack.containers("detector")), detected(stack), strict=True))
    for _ in range(12):
        assert stack.post(next(radiographs)).json()["status"] == "complete"
    after = dict(zip((c.id for c in stack.containers("detector")), detected(stack), strict=True))
    shares = [after[name] - before[name] for name in after]
    assert sum(shares) == 12
    assert all(3 <= share <= 5 for share in shares), shares


def test_of_three_detectors_one_may_be_killed_without_a_partial_radiograph(
    stack: ComposeStack, radiographs: Iterator[bytes]
) -> None:
    assert len(stack.containers("detector")) == 3
    stack.containers("detector")[0].kill()
    for _ in range(4):
        assert stack.post(next(radiographs)).json()["status"] == "complete"
    stack.compose("up", "--detach", "--no-build", "--no-recreate", "--scale", "detector=1")
    assert stack.post(next(radiographs)).json()["status"] == "complete"
