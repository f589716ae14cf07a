"""A killed run goes on, one that diverges keeps its checkpoint, a full disk loses nothing."""

import json
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cxr_gan.errors import GanError
from cxr_gan.networks import build_generator
from cxr_gan.training.records import read_checkpoint, write_checkpoint
from cxr_gan.training.trainer import Trainer
from support.gan.quick import quick_gan, toy_chests

pytestmark = pytest.mark.slow

SEEN = ("step", "images", "side_px", "fade", "discriminator_loss", "generator_loss", "penalty")


class Killed(BaseException):
    pass


def begun(folder: Path, recipe: str = "pggan-modern", *overrides: str) -> Trainer:
    config = quick_gan(recipe, *overrides)
    folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    return Trainer(config, toy_chests(config, 40), folder)


def lines(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: row[key] for key in SEEN} for row in rows]


def kill_at(trainer: Trainer, step: int) -> None:
    whole = trainer.batches.take

    def take(shown: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        if trainer.progress.step == step:
            raise Killed
        return whole(shown, n)

    trainer.batches.take = take  # type: ignore[method-assign]
    with pytest.raises(Killed):
        trainer.run()


@pytest.mark.parametrize("recipe", ["dcgan-conditional", "pggan", "pggan-modern"])
def test_a_killed_run_goes_on_to_the_same_losses_from_any_checkpoint(
    recipe: str, tmp_path: Path
) -> None:
    often = "training.checkpoint_minutes=1e-9"
    begun(tmp_path / "unbroken", recipe).run()
    kill_at(begun(tmp_path / "killed", recipe, often), 5)
    resumed = begun(tmp_path / "killed", recipe)
    resumed.resume(tmp_path / "killed/last.pt")
    assert resumed.progress.step == 5
    resumed.run()
    whole = load_file(tmp_path / "unbroken/generator.safetensors")
    for name, tensor in load_file(tmp_path / "killed/generator.safetensors").items():
        assert torch.equal(tensor, whole[name]), name
    assert lines(tmp_path / "killed") == lines(tmp_path / "unbroken")


def test_a_finished_stage_is_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    begun(tmp_path / "whole").run()
    again = begun(tmp_path / "again")
    again.resume(tmp_path / "whole/checkpoints/0004px.pt")
    assert again.progress.stage == 1
    again.run()
    assert lines(tmp_path / "again") == [
        row for row in lines(tmp_path / "whole") if row["side_px"] > 4
    ]


def test_a_run_leaves_a_grown_generator_and_a_grid_for_each_interval(tmp_path: Path) -> None:
    trainer = begun(tmp_path / "run")
    trainer.run()
    generator = build_generator(trainer.config.spec).eval()
    weights = load_file(tmp_path / "run/generator.safetensors")
    assert {x.dtype for x in weights.values() if x.ndim > 1} == {torch.float16}
    generator.load_state_dict(weights)
    latent = torch.randn(2, 8)
    # Half precision has eleven bits.
    torch.testing.assert_close(generator(latent), trainer.average(latent), rtol=0, atol=2e-2)
    names = sorted(path.name for path in (tmp_path / "run/samples").iterdir())
    assert names[0] == "000000032-0004px.png"
    assert names[-1] == "000000080-0008px.png"


@pytest.mark.parametrize("recipe", ["dcgan", "pggan"])
def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(
    recipe: str, tmp_path: Path
) -> None:
    trainer = begun(tmp_path / "run", recipe)
    trainer.step()
    trainer.save("last.pt")
    kept = (tmp_path / "run/last.pt").read_bytes()
    wild = begun(
        tmp_path / "run",
        recipe,
        "training.discriminator_learning_rate=1e30",
        "training.generator_learning_rate=1e30",
        "training.checkpoint_minutes=1e-9",
    )
    wild.resume(tmp_path / "run/last.pt")
    with pytest.raises(GanError, match=r"is not finite at step \d+: .*last\.pt is as it was"):
        wild.run()
    assert (tmp_path / "run/last.pt").read_bytes() == kept


@pytest.fixture
def hardly_any_room() -> Iterator[None]:
    """No file may grow beyond a few kilobytes; writing more is an error, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # Byte code would be kept cut off at the limit, for every later process.
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    sys.dont_write_bytecode = writes_bytecode
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_checkpoint_that_finds_no_room_leaves_the_older_one(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    trainer = begun(tmp_path / "run")
    trainer.save("last.pt")
    kept = (tmp_path / "run/last.pt").read_bytes()
    assert len(kept) > 8192
    trainer.step()
    request.getfixturevalue("hardly_any_room")
    with pytest.raises(GanError, match=r"last\.pt cannot be written .*older one is as it was"):
        trainer.save("last.pt")
    assert (tmp_path / "run/last.pt").read_bytes() == kept
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["last.pt"]


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    begun(tmp_path / "small").save("last.pt")
    wider = begun(tmp_path / "wide", "pggan-modern", "network.channels=16")
    with pytest.raises(GanError, match="of another generator than the recipe's: channels 8"):
        wider.resume(tmp_path / "small/last.pt")


def test_a_checkpoint_of_other_code_is_refused(tmp_path: Path) -> None:
    trainer = begun(tmp_path / "run")
    trainer.save("last.pt")
    path = tmp_path / "run/last.pt"
    state = read_checkpoint(path)
    del state["generator"]["dense.bias"]
    write_checkpoint(path, state)
    with pytest.raises(GanError, match="is a checkpoint of other code"):
        trainer.resume(path)
    torch.save({"network": {}}, path)
    with pytest.raises(GanError, match="is a checkpoint of other code: unknown, not cxr-gan-1"):
        trainer.resume(path)
    path.write_text("no checkpoint")
    with pytest.raises(GanError, match="is no checkpoint that can be read"):
        trainer.resume(path)


@pytest.mark.parametrize("recipe", ["dcgan-conditional", "pggan", "pggan-modern"])
def test_a_step_in_bfloat16_stays_finite(recipe: str, tmp_path: Path) -> None:
    trainer = begun(tmp_path / "run", recipe, "training.precision=bfloat16")
    assert trainer.step().isfinite().all()
    assert trainer.step().isfinite().all()
