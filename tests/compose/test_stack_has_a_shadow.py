"""A new model beside the one that answers, promoted and taken back, as docs/operations.md says."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support.compose_stack import ComposeStack, eventually
from support.model_folders import write_classifier_folder

StackMaker = Callable[..., ComposeStack]
NAME = "another"


def asked(stack: ComposeStack, *arguments: str, refused: bool = False) -> str:
    """What a command says that runs in the gateway's container."""
    command = ("exec", "-T", "gateway", "python", "-m", "cxr_gateway", *arguments)
    finished = stack.compose(*command, check=False)
    assert (finished.returncode != 0) == refused, finished.stdout
    return finished.stdout


def classifier_of(study: dict[str, Any]) -> str:
    """The sha256 of the classifier that read a study."""
    [sha256] = [model["sha256"] for model in study["models"] if model["role"] == "classifier"]
    return str(sha256)


def test_another_classifier_is_promoted_after_some_radiographs_and_taken_back(
    stack_of: StackMaker, tmp_path: Path, radiographs: Iterator[bytes]
) -> None:
    folder = write_classifier_folder(tmp_path / "classifier" / NAME)
    # The user of the containers reads it, whoever runs this.
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)
    stack = stack_of(
        settings={
            "CXR_SHADOW_MODELS": str(tmp_path),
            "CXR_SHADOW_CLASSIFIER": folder.name,
            "CXR_SHADOW_CLASSIFIER_URL": "http://classifier-shadow:8001",
        }
    )
    stack.up()
    shadow = ("--profile", "shadow", "up", "--detach", "--no-build", "classifier-shadow", "gateway")
    stack.compose(*shadow)
    stack.wait_healthy("classifier-shadow")
    before = [stack.post(next(radiographs)).json() for _ in range(3)]
    assert {study["status"] for study in before} == {"complete"}
    eventually(
        lambda: stack.get("/api/v1/shadow/classifier").json().get("recorded") == len(before),
        "the shadow did not read three radiographs",
    )
    assert re.search(r"images +3, from", asked(stack, "shadow", "report", "classifier"))
    promote = ("models", "promote", "classifier", "--by", "a test")
    assert "has answered 3 images" in asked(stack, *promote, refused=True)

    asked(stack, *promote, "--min-answers", "3")
    promoted = eventually_read_by_another(stack, radiographs, classifier_of(before[0]))
    assert promoted["status"] == "complete"
    # What was read before stays what it was.
    assert stack.get(f"/api/v1/studies/{before[0]['id']}").json() == before[0]

    asked(stack, "models", "rollback", "classifier", "--by", "a test")
    back = eventually_read_by_another(stack, radiographs, classifier_of(promoted))
    assert classifier_of(back) == classifier_of(before[0])
    history = stack.get("/api/v1/models").json()
    assert "a test" in str(history)


def eventually_read_by_another(
    stack: ComposeStack, radiographs: Iterator[bytes], sha256: str
) -> dict[str, Any]:
    """The first new study that another classifier has read: all follow within two seconds."""
    studies: list[dict[str, Any]] = []

    def changed() -> bool:
        studies.append(stack.post(next(radiographs)).json())
        return classifier_of(studies[-1]) != sha256

    eventually(changed, "the other classifier did not answer", timeout_s=15)
    return studies[-1]
