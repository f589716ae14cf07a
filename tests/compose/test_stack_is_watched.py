"""The profile `monitoring`: each part becomes healthy, and Prometheus finds every container.

The images are those of docker-compose.yml; a part whose image the engine neither has nor gets is
left out, and said to be.
"""

import json
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from compose_stack import MONITORING, ComposeStack, asked_inside, eventually, image_name


@pytest.fixture(scope="module")
def watched(engine: docker.DockerClient) -> Iterator[ComposeStack]:
    """The stack with two detectors and as much of the profile as there are images for."""
    stack = ComposeStack(engine, settings={"CXR_GRAFANA_PASSWORD": "only for this test"})
    there = [part for part in MONITORING if has_image(engine, image_name(part))]
    try:
        stack.up("--scale", "detector=2")
        if there:
            # `--no-deps`: without it Grafana's image would be wanted for Prometheus, and back.
            scaled = ("--no-deps", "--no-recreate", "--no-build")
            stack.compose("--profile", "monitoring", "up", "--detach", *scaled, *there)
        yield stack
    finally:
        stack.down()


def has_image(engine: docker.DockerClient, name: str) -> bool:
    """Whether the engine has the image, or has got it."""
    if engine.images.list(name):
        return True
    try:
        engine.images.pull(name)
    except docker.errors.APIError:
        return False
    return True


@pytest.mark.parametrize("service", MONITORING)
def test_a_part_of_the_profile_becomes_healthy(watched: ComposeStack, service: str) -> None:
    if not watched.containers(service):
        pytest.skip(f"{image_name(service)} is not to be had here")
    watched.wait_healthy(service)


def test_prometheus_asks_every_container_and_evaluates_the_rules(watched: ComposeStack) -> None:
    if not watched.containers("prometheus"):
        pytest.skip(f"{image_name('prometheus')} is not to be had here")
    gateway = watched.container("gateway")

    def told(path: str) -> dict[str, Any]:
        answer = json.loads(asked_inside(gateway, f"http://prometheus:9090/api/v1/{path}"))
        assert answer["status"] == "success"
        found: dict[str, Any] = answer["data"]
        return found

    def health_of_rules() -> list[str]:
        return [rule["health"] for group in told("rules")["groups"] for rule in group["rules"]]

    def all_are_up() -> bool:
        targets = told("targets?state=active")["activeTargets"]
        up = sorted(target["scrapePool"] for target in targets if target["health"] == "up")
        return up == ["classifier", "detector", "detector", "gateway"]

    eventually(all_are_up, "Prometheus did not reach every container", timeout_s=90)
    assert len(health_of_rules()) > 10
    # Some are evaluated every few minutes only; until then they are `unknown`.
    eventually(lambda: health_of_rules().count("ok") > 10, "the rules were not evaluated")
    assert set(health_of_rules()) <= {"ok", "unknown"}
