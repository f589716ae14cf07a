"""The profile `monitoring`: each part becomes healthy, and Prometheus finds every container.

The images are those of docker-compose.yml. Where the engine neither has nor gets them, Debian's
Prometheus stands in for that one, and Grafana is left out and said to be.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest

from support.compose_stack import MONITORING, ComposeStack, asked_inside, eventually, image_name

STAND_IN = "open-chest-xray-reader/prometheus-of-debian:test"


@pytest.fixture(scope="module")
def watched(engine: docker.DockerClient) -> Iterator[ComposeStack]:
    """The stack with two detectors and as much of the profile as there are images for."""
    settings = {"CXR_GRAFANA_PASSWORD": uuid4().hex}
    parts = ["prometheus"]
    if has_image(engine, image_name("grafana")):
        parts.append("grafana")
    if not has_image(engine, image_name("prometheus")):
        settings["CXR_PROMETHEUS_IMAGE"] = stand_in_for_prometheus(engine)
    stack = ComposeStack(engine, settings=settings)
    try:
        stack.up("--scale", "detector=2")
        # Grafana's image would be wanted for Prometheus, too, if what they need were started.
        alone = ("--no-deps", "--no-recreate", "--no-build")
        stack.compose("--profile", "monitoring", "up", "--detach", *alone, *parts)
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


def stand_in_for_prometheus(engine: docker.DockerClient) -> str:
    """The name of an image that is built here, with the network of this machine."""
    folder, file = str(Path(__file__).parent), "prometheus.Dockerfile"
    image, _ = engine.images.build(path=folder, dockerfile=file, network_mode="host", tag=STAND_IN)
    assert STAND_IN in image.tags
    return STAND_IN


@pytest.mark.parametrize("service", MONITORING)
def test_a_part_of_the_profile_becomes_healthy(watched: ComposeStack, service: str) -> None:
    if not watched.containers(service):
        pytest.skip(f"{image_name(service)} is not to be had here")
    watched.wait_healthy(service)


def test_prometheus_asks_every_container_and_evaluates_the_rules(watched: ComposeStack) -> None:
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
