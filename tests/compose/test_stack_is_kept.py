"""Backed up and restored as docs/operations.md says it, between two stacks."""

from collections.abc import Callable, Iterator
from pathlib import Path

from support.compose_stack import ComposeStack

StackMaker = Callable[..., ComposeStack]


def kept(stack: ComposeStack, folder: Path, *arguments: str) -> str:
    """A command of the gateway in a container of its own, with `folder` as /backups."""
    command = ("python", "-m", "cxr_gateway", *arguments)
    mount = f"{folder}:/backups"
    options = ("--rm", "--no-deps", "-T", "--volume", mount)
    return stack.compose("run", *options, "migrate", *command).stdout


def test_a_backup_of_a_running_stack_is_restored_into_another(
    stack_of: StackMaker, tmp_path: Path, radiographs: Iterator[bytes]
) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    # The user of the containers writes there, whoever runs this.
    backups.chmod(0o777)
    radiograph = next(radiographs)
    one = stack_of()
    one.up()
    study = one.post(radiograph).json()
    assert "1 studies" in kept(one, backups, "backup", "--to", "/backups/cxr.zip")
    one.down()
    other = stack_of()
    other.up()
    other.compose("stop", "gateway")
    assert "Restored from" in kept(other, backups, "restore", "--from", "/backups/cxr.zip")
    assert "whole" in kept(other, backups, "audit", "verify")
    other.compose("start", "gateway")
    other.wait_healthy("gateway")
    other.wait_healthy("frontend")
    assert other.get(f"/api/v1/studies/{study['id']}").json() == study
    assert other.get(f"/api/v1/studies/{study['id']}/original").content == radiograph
