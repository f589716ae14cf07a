"""The state of a run on disk."""

from pathlib import Path

import pytest
import torch

from cxr_training.data.errors import DataError
from cxr_training.detector.checkpoint import RunState, load_state, save_state
from cxr_training.detector.run import results_until


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    # Nested tensors lie in each others' storage, as a network's own do.
    whole = torch.arange(6.0).view(2, 3)
    state = RunState(
        epochs=3,
        steps=42,
        elapsed_s=12.5,
        model={"model.0.weight": whole, "model.0.bias": whole[0]},
        average={"model.0.weight": whole / 2},
        optimizer={0: {"step": torch.tensor(42.0), "exp_avg": whole.T}, 1: {"step": None}},
    )
    save_state(state, tmp_path / "state.safetensors")
    found = load_state(tmp_path / "state.safetensors")
    assert (found.epochs, found.steps, found.elapsed_s) == (3, 42, 12.5)
    assert found.model.keys() == {"model.0.weight", "model.0.bias"}
    assert found.model["model.0.bias"].tolist() == [0, 1, 2]
    assert found.average["model.0.weight"].tolist() == (whole / 2).tolist()
    assert found.optimizer.keys() == {0}
    assert found.optimizer[0]["exp_avg"].tolist() == whole.T.tolist()
    assert found.optimizer[0]["step"].shape == ()


def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    with pytest.raises(DataError, match="is missing"):
        load_state(path)
    path.write_bytes(b"no tensors")
    with pytest.raises(DataError, match="is no state of a run"):
        load_state(path)


def test_lines_of_epochs_after_the_state_are_left_out(tmp_path: Path) -> None:
    results = tmp_path / "results.csv"
    results.write_text("epoch,time\n1,5\n2,9\n3,14\n")
    assert results_until(results, 2) == "epoch,time\n1,5\n2,9\n"
