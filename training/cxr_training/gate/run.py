"""A training run is a directory: recipe, split hash, metrics, curve, weights, operating point."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file

from cxr_training.core.runs import command_line, current_commit, read_metrics
from cxr_training.export.publishing import WEIGHTS_NAME
from cxr_training.gate.batches import BatchMaker, Pools
from cxr_training.gate.config import GateConfig
from cxr_training.gate.fitting import build_network, fit, fit_one_class, operating_point
from cxr_training.gate.network import GateNetwork
from cxr_training.gate.photographs import photograph_crops
from cxr_training.gate.procedural import draw_procedural
from cxr_training.gate.radiographs import GateData, read_gate_data, read_small

_SUMMARY_NAME = "run.json"


class RunSummary(BaseModel):
    """What publishing needs to know of a finished run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str
    commit: str
    config: GateConfig
    split_sha256: str
    n_fit: int
    n_calibration: int
    threshold_logit: float


def train(data_root: Path, config: GateConfig, out: Path) -> RunSummary:
    """Fit a gate on NIH's images under `data_root` and leave the run in `out`.

    One thread: a network of this size gains nothing from more.
    """
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    data = read_gate_data(data_root, config.calibration_percent)
    fitted = read_small(data.fit, config.cache_px)
    rng = np.random.default_rng(config.seed)
    pools = Pools(
        radiographs=fitted,
        procedural=draw_procedural(rng, config.n_procedural, config.cache_px),
        photographs=photograph_crops(rng, config.n_photograph_crops, config.cache_px),
    )
    # Asked before the fit: the files may have changed by its end.
    commit = current_commit()
    network = fit(BatchMaker(pools, config), config, out / "metrics.jsonl")
    return finish(network, data, config, out, command=command_line(), commit=commit)


def finish(
    network: GateNetwork,
    data: GateData,
    config: GateConfig,
    out: Path,
    *,
    command: str,
    commit: str,
) -> RunSummary:
    """Fit distance and operating point on undistorted radiographs, and save everything."""
    calibration = read_small(data.calibration, config.canonical_px)
    fit_one_class(network, read_small(data.fit, config.canonical_px), calibration)
    summary = RunSummary(
        command=command,
        commit=commit,
        config=config,
        split_sha256=data.split_sha256,
        n_fit=len(data.fit),
        n_calibration=len(data.calibration),
        threshold_logit=operating_point(network, calibration, config.target_false_refusal),
    )
    save_file(network.state_dict(), out / WEIGHTS_NAME)
    (out / _SUMMARY_NAME).write_text(summary.model_dump_json(indent=2) + "\n")
    draw_curve(out / "metrics.jsonl", out / "curve.png")
    return summary


def read_run(folder: Path) -> tuple[RunSummary, GateNetwork]:
    """The summary and the fitted network of a run directory."""
    summary = RunSummary.model_validate_json((folder / _SUMMARY_NAME).read_text())
    network = build_network(summary.config)
    network.load_state_dict(load_file(folder / WEIGHTS_NAME))
    return summary, network.eval()


def draw_curve(metrics: Path, path: Path) -> None:
    """Loss and accuracy over the steps, as PNG."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    lines = read_metrics(metrics)
    figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for axis, key in zip(axes, ("loss", "accuracy"), strict=True):
        axis.plot([line["step"] for line in lines], [line[key] for line in lines])
        axis.set(xlabel="step", ylabel=key)
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
    plt.close(figure)
