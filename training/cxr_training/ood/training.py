"""Training leaves a run directory: recipe, split hash, metrics, curve, weights, operating point."""

import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as nnf
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torchvision.transforms.v2 import functional as vf

from cxr_training.core.config import read_config
from cxr_training.core.errors import RunError
from cxr_training.core.runs import append_metrics, command_line, current_commit, read_metrics
from cxr_training.export.publishing import WEIGHTS_NAME
from cxr_training.ood import corruptions
from cxr_training.ood.data import GreyImage, OodData, photograph_crops, read_ood_data, read_small
from cxr_training.ood.network import KINDS, OodConfig, OodNetwork
from cxr_training.ood.synthetic import draw_synthetic

_SUMMARY_NAME = "run.json"
_METRICS_NAME = "metrics.jsonl"
# Part of the calibration radiographs that the one-class distance alone may find strange.
_STRANGE_SHARE = 0.002


class RunSummary(BaseModel):
    """What publishing needs to know of a finished run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str
    commit: str
    config: OodConfig
    split_sha256: str
    n_fit: int
    n_calibration: int
    threshold_logit: float


@dataclass(frozen=True, slots=True)
class Pools:
    """Images to draw from, uint8 [N, cache, cache] each."""

    radiographs: GreyImage
    synthetic: GreyImage
    photographs: GreyImage


def command(options: Namespace) -> int:
    """`cxr ood train`."""
    summary = train(options.data, read_config(OodConfig, options.config), options.out)
    print(f"fitted on {summary.n_fit} radiographs: {options.out}")
    return 0


def train(data_folder: Path, config: OodConfig, out: Path) -> RunSummary:
    """Fit a detector on NIH's images in `data_folder` and leave the run in `out`.

    One thread: a network of this size gains nothing from more.
    """
    torch.set_num_threads(1)
    # Asked before the fit: the files may have changed by its end.
    commit = current_commit()
    data = read_ood_data(data_folder, config.calibration_percent)
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(config.seed)
    pools = Pools(
        radiographs=read_small(data.fit, config.cache_px),
        synthetic=draw_synthetic(rng, config.n_procedural, config.cache_px),
        photographs=photograph_crops(rng, config.n_photograph_crops, config.cache_px),
    )
    network = fit(pools, config, out / _METRICS_NAME)
    calibration = read_small(data.calibration, config.canonical_px)
    fit_one_class(network, read_small(data.fit, config.canonical_px), calibration)
    summary = _summary(network, data, calibration, config, commit)
    save_file(network.state_dict(), out / WEIGHTS_NAME)
    (out / _SUMMARY_NAME).write_text(summary.model_dump_json(indent=2) + "\n")
    _draw_curve(out / _METRICS_NAME, out / "curve.png")
    return summary


def read_run(folder: Path) -> tuple[RunSummary, OodNetwork]:
    """The summary and the fitted network of a run directory; RunError if it is none."""
    try:
        summary = RunSummary.model_validate_json((folder / _SUMMARY_NAME).read_text())
        network = OodNetwork(summary.config)
        network.load_state_dict(load_file(folder / WEIGHTS_NAME))
    except (OSError, ValidationError, RuntimeError) as error:
        raise RunError(f"{folder} is not a finished run of `cxr ood train`: {error}") from error
    return summary, network.eval()


def batches(pools: Pools, config: OodConfig) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches: images float32 [batch, 1, side, side] in 0..1 and kinds int64 [batch].

    They follow from PyTorch's global generator: the same seed gives the same batches.
    """
    counts = config.shares.counts(config.batch)
    place = corruptions.placement(config.cache_px, config.canonical_px)
    ways = corruptions.destructive(config.cache_px)
    n_corrupted, n_photographs = counts["other"] * 9 // 20, counts["other"] // 5
    n_synthetic = counts["other"] - n_corrupted - n_photographs
    kinds = torch.repeat_interleave(torch.tensor([counts[kind] for kind in KINDS]))
    while True:
        reoriented = [
            transform(_draw(pools.radiographs, counts[kind]))
            for kind, transform in corruptions.REORIENTED.items()
        ]
        others = [_draw(pools.synthetic, n_synthetic), _draw(pools.photographs, n_photographs)]
        upright = torch.cat([*reoriented, corruptions.blended(torch.cat(others))])
        cut = corruptions.corrupted(_draw(pools.radiographs, n_corrupted), ways)
        images = [
            corruptions.in_groups(place, upright),
            vf.resize(cut, [config.canonical_px, config.canonical_px]),
        ]
        yield corruptions.in_groups(corruptions.acquisition, torch.cat(images)), kinds


def fit(pools: Pools, config: OodConfig, metrics: Path) -> OodNetwork:
    """Train for `config.steps` batches; writes a line of `metrics` (JSON) every 50 steps."""
    torch.manual_seed(config.seed)
    network = OodNetwork(config).train()
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps, pct_start=0.1
    )
    started, losses, right = time.monotonic(), [], []
    metrics.unlink(missing_ok=True)
    for step, (images, kinds) in zip(
        range(1, config.steps + 1), batches(pools, config), strict=False
    ):
        logits = network.kinds(network.features(images))
        loss = nnf.cross_entropy(logits, kinds, label_smoothing=config.label_smoothing)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        right.append((logits.argmax(1) == kinds).float().mean().item())
        if step % 50 == 0 or step == config.steps:
            figures = {"loss": float(np.mean(losses)), "accuracy": float(np.mean(right))}
            elapsed_s = round(time.monotonic() - started, 1)
            append_metrics(metrics, {"step": step, **figures, "elapsed_s": elapsed_s})
            losses, right = [], []
    return network.eval()


def fit_one_class(network: OodNetwork, fitted: GreyImage, calibration: GreyImage) -> None:
    """Set the network's centre, whitening, and the slope and offset of its distance.

    Args:
        network: fitted; changed in place.
        fitted: radiographs of the fit, uint8 [N, side, side]: centre and covariance.
        calibration: radiographs held out of it, likewise: where strangeness begins.
    """
    features = _run(network.features, fitted).double()
    # Shrunk: directions that radiographs do not use would else blow up any deviation.
    covariance = torch.cov(features.T)
    covariance += 0.01 * covariance.diagonal().mean() * torch.eye(len(covariance))
    values, vectors = torch.linalg.eigh(covariance)
    network.centre.copy_(features.mean(0))
    network.whitening.copy_(vectors @ torch.diag(values.rsqrt()) @ vectors.T)
    distances = _run(lambda x: network.distance(network.features(x)), calibration)
    strange = float(distances.quantile(1 - _STRANGE_SHARE))
    logits = _run(lambda x: network.kinds(network.features(x)), calibration)
    by_kind = (logits[:, 0] - logits[:, 1:].logsumexp(1)).median()
    # A typical radiograph is as sure by its distance as by its kind.
    network.distance_offset.fill_(strange)
    network.distance_slope.fill_(float(by_kind) / max(strange - float(distances.median()), 1e-3))


def _summary(
    network: OodNetwork, data: OodData, calibration: GreyImage, config: OodConfig, commit: str
) -> RunSummary:
    logits = _run(lambda x: network(x)[0], calibration)
    return RunSummary(
        command=command_line(),
        commit=commit,
        config=config,
        split_sha256=data.split_sha256,
        n_fit=len(data.fit),
        n_calibration=len(data.calibration),
        threshold_logit=float(logits.quantile(config.target_false_refusal)),
    )


def _draw(pool: GreyImage, n: int) -> Tensor:
    picked = torch.randint(0, len(pool), (n,))
    return torch.from_numpy(pool[picked.numpy()]).float().div(255)[:, None]


def _run(function: Callable[[Tensor], Tensor], images: GreyImage) -> Tensor:
    with torch.inference_mode():
        groups = torch.split(torch.from_numpy(images)[:, None], 512)
        return torch.cat([function(group.float().div(255)) for group in groups])


def _draw_curve(metrics: Path, path: Path) -> None:
    from matplotlib.figure import Figure

    lines = read_metrics(metrics)
    figure = Figure(figsize=(8, 3), layout="constrained")
    for axis, key in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axis.plot([line["step"] for line in lines], [line[key] for line in lines])
        axis.set(xlabel="step", ylabel=key)
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
