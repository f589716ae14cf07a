"""Fits the network, then its one-class distance and its operating point."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as nnf
from numpy.typing import NDArray
from torch import Tensor

from cxr_training.core.runs import append_metrics
from cxr_training.gate.batches import BatchMaker
from cxr_training.gate.config import KINDS, GateConfig
from cxr_training.gate.network import GateNetwork

# Part of the calibration radiographs that the one-class distance alone may find strange.
_STRANGE_SHARE = 0.002


def build_network(config: GateConfig) -> GateNetwork:
    """An unfitted network of the recipe's size."""
    return GateNetwork(
        config.canonical_px, config.channels, config.features, len(KINDS), config.dropout
    )


def fit(batches: BatchMaker, config: GateConfig, metrics: Path) -> GateNetwork:
    """Train for `config.steps` batches; writes a line of `metrics` (JSON) every 50 steps."""
    torch.manual_seed(config.seed)
    network = build_network(config).train()
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps, pct_start=0.1
    )
    started, losses, right = time.monotonic(), [], []
    metrics.unlink(missing_ok=True)
    for step in range(1, config.steps + 1):
        pictures, kinds = batches.next()
        logits = network.kinds(network.features(pictures))
        loss = nnf.cross_entropy(logits, kinds, label_smoothing=config.label_smoothing)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        right.append((logits.argmax(1) == kinds).float().mean().item())
        if step % 50 == 0 or step == config.steps:
            line = {
                "step": step,
                "loss": float(np.mean(losses)),
                "accuracy": float(np.mean(right)),
                "elapsed_s": round(time.monotonic() - started, 1),
            }
            append_metrics(metrics, line)
            losses, right = [], []
    return network.eval()


def fit_one_class(
    network: GateNetwork, fitted: NDArray[np.uint8], calibration: NDArray[np.uint8]
) -> None:
    """Set the network's centre, whitening, and the slope and offset of its distance.

    Args:
        network: fitted; changed in place.
        fitted: radiographs of the fit, uint8 [N, side, side]: centre and covariance.
        calibration: radiographs held out of it, likewise: where strangeness begins.
    """
    features = _run(network.features, fitted).double()
    centre = features.mean(0)
    covariance = torch.cov(features.T)
    # Shrunk: directions that radiographs do not use would else blow up any deviation.
    covariance += 0.01 * covariance.diagonal().mean() * torch.eye(len(covariance))
    values, vectors = torch.linalg.eigh(covariance)
    network.centre.copy_(centre)
    network.whitening.copy_(vectors @ torch.diag(values.rsqrt()) @ vectors.T)
    distances = _run(lambda x: network.distance(network.features(x)), calibration)
    typical = float(distances.median())
    strange = float(distances.quantile(1 - _STRANGE_SHARE))
    logits = _run(lambda x: network.kinds(network.features(x)), calibration)
    trained = (logits[:, 0] - logits[:, 1:].logsumexp(1)).median()
    # A typical radiograph is as sure by its distance as by its kind.
    network.distance_offset.fill_(strange)
    network.distance_slope.fill_(float(trained) / max(strange - typical, 1e-3))


def operating_point(network: GateNetwork, calibration: NDArray[np.uint8], target: float) -> float:
    """The logit below which `target` of the calibration radiographs would be refused."""
    return float(_run(lambda x: network(x)[0], calibration).quantile(target))


def _run(
    function: Callable[[Tensor], Tensor], pictures: NDArray[np.uint8], batch: int = 512
) -> Tensor:
    with torch.inference_mode():
        parts = [
            function(torch.from_numpy(pictures[i : i + batch]).float().div(255)[:, None])
            for i in range(0, len(pictures), batch)
        ]
    return torch.cat(parts)
