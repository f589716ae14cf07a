"""A run's weights and those that it started from, as one."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cxr_training.cli import main
from cxr_training.core.runs import sha256_of

CONVOLUTION, COUNTER = "model.0.conv.weight", "model.0.bn.num_batches_tracked"


def state(value: float, count: int) -> dict[str, torch.Tensor]:
    return {
        CONVOLUTION: torch.full((2, 3), value, dtype=torch.float16),
        "model.0.bn.running_var": torch.full((2,), value),
        COUNTER: torch.tensor(count),
    }


class Run:
    """A finished run directory, and the file that it started from."""

    def __init__(self, root: Path) -> None:
        self.out, self.start = root / "run", root / "start.safetensors"
        self.weights = self.out / "train/last.safetensors"
        self.weights.parent.mkdir(parents=True)
        save_file(state(1.0, 5), self.start)
        save_file(state(2.0, 9), self.weights)
        began = {"source": "start", "sha256": sha256_of(self.start)}
        (self.out / "run.json").write_text(json.dumps({"start": began}))
        (self.out / "evaluation.json").write_text("{}")

    def average(self, share: str = "0.25") -> int:
        words = ["--run", str(self.out), "--start", str(self.start), "--share", share]
        return main(["detector", "average", *words])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_the_weights_are_the_mean_and_the_run_says_so(run: Run) -> None:
    assert run.average() == 0
    after = load_file(run.weights)
    assert after[CONVOLUTION].tolist() == [[1.75] * 3] * 2
    assert after[CONVOLUTION].dtype == torch.float16
    assert after["model.0.bn.running_var"].tolist() == [1.75] * 2
    assert int(after[COUNTER]) == 9
    noted = json.loads((run.out / "run.json").read_text())["averaged"]
    assert noted == {"start_share": 0.25, "sha256": sha256_of(run.weights)}
    # What was evaluated were other weights.
    assert not (run.out / "evaluation.json").exists()


def test_it_is_done_once(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert (run.average(), run.average()) == (0, 2)
    assert "averaged with its start before" in capsys.readouterr().err
    assert load_file(run.weights)[CONVOLUTION].tolist() == [[1.75] * 3] * 2


def test_a_command_that_was_killed_before_the_weights_were_there_is_run_again(run: Run) -> None:
    before = run.weights.read_bytes()
    assert run.average() == 0
    after = run.weights.read_bytes()
    run.weights.write_bytes(before)
    assert run.average() == 0
    assert run.weights.read_bytes() == after


@pytest.mark.parametrize("share", ["0", "1", "-1", "nan"])
def test_a_share_that_is_none_changes_nothing(run: Run, share: str) -> None:
    before = run.weights.read_bytes()
    assert run.average(share) == 2
    assert run.weights.read_bytes() == before


def test_another_file_than_its_start_changes_nothing(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run.weights.read_bytes()
    save_file(state(3.0, 1), run.start)
    assert run.average() == 2
    assert "is not what" in capsys.readouterr().err
    run.start.unlink()
    assert run.average() == 2
    assert run.weights.read_bytes() == before
