"""The mean of a run's weights and those that it started from.

Where one run goes on from another with a rate that rises again, the mean of their ends depends less
on where either happened to stop (Izmailov et al., *Averaging weights leads to wider optima and
better generalization*, UAI 2018).
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from cxr_training.core.errors import RunError
from cxr_training.core.runs import sha256_of, write_json
from cxr_training.data.errors import DataError
from cxr_training.detector.publish import EVALUATION_FILE
from cxr_training.detector.run import RUN_FILE, read_run, run_weights
from cxr_training.export.onnx import rounded


def average_with_start(out: Path, start: Path, share: float) -> None:
    """Put the mean of the run's weights and its start's in the place of the run's.

    What was evaluated before were other weights, so `evaluation.json` goes.

    Args:
        out: the run directory.
        start: the state dict (safetensors) that the run started from.
        share: of the start in the mean, 0 to 1.

    Raises:
        DataError: no such run or weights, or `start` is not what it started from.
        RunError: the run was averaged before.
    """
    run, path = read_run(out), run_weights(out)
    began = run["start"]
    if not start.is_file() or began is None or sha256_of(start) != began["sha256"]:
        raise DataError(start, f"is not what {out} started from")
    if sha256_of(path) == run.get("averaged", {}).get("sha256"):
        raise RunError(f"{out} was averaged with its start before")
    own, given = load_file(path), load_file(start)
    if own.keys() != given.keys():
        raise DataError(start, "is no state dict of the run's network")
    partial = path.with_suffix(".partial")
    save_file(rounded({name: _mean(own[name], given[name], share) for name in own}), partial)
    (out / EVALUATION_FILE).unlink(missing_ok=True)
    # The note first, with what it is of: a command that was killed between is run again.
    averaged = {"start_share": share, "sha256": sha256_of(partial)}
    write_json(out / RUN_FILE, {**run, "averaged": averaged})
    partial.replace(path)


def _mean(own: torch.Tensor, given: torch.Tensor, share: float) -> torch.Tensor:
    # A counter of batches has no mean.
    if not own.is_floating_point():
        return own
    return torch.lerp(own.float(), given.float(), share).contiguous()
