"""`evaluate`: a run's figures, calibration and operating points on validation patients."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cxr_classifier.network import CamNetwork, build_network, load_weights
from cxr_contracts import LabelSpec, MetricRow
from cxr_training.classifier.answers import Answers, answers_of
from cxr_training.classifier.config import ClassifierConfig, load_config
from cxr_training.classifier.decisions import fitted_decisions
from cxr_training.classifier.loop import BEST, infer
from cxr_training.classifier.report import metric_rows
from cxr_training.classifier.samples import LABELS, read_samples
from cxr_training.classifier.train import CONFIG, device_of_this_machine, open_images, read_facts
from cxr_training.data.splits import Split, split_sha256
from cxr_training.runs import RunError, write_json

EVALUATION = "evaluation.json"
ANSWERS = "validation.npz"
# So many validation images are kept for the comparison of ONNX with PyTorch.
_PROBES = 16


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What `evaluation.json` holds."""

    epoch: int
    labels: list[LabelSpec]
    metrics: list[MetricRow]


def evaluate(
    folder: Path, data: Path | None, *, manifests: Sequence[Path] = (), stream: bool = False
) -> Evaluated:
    """Judge the best averaged weights of the run in `folder` on its validation patients.

    Writes `evaluation.json` and, for later figures, the raw answers as `validation.npz`.

    Raises:
        DataError: the data set is not as published.
        RunError: `data` and `manifests` split otherwise than the data of the training.
    """
    config = load_config(folder / CONFIG)
    samples = read_samples(data, manifests)
    if split_sha256(samples.patient_splits) != read_facts(folder)["split_sha256"]:
        named = ", ".join(str(path) for path in (data, *manifests) if path is not None)
        raise RunError(f"{named}: other patients than the data that {folder} was trained on")
    images = open_images(config, samples, folder, stream=stream)
    rows = samples.rows(Split.VALIDATION)
    device = device_of_this_machine()
    network, epoch = load_network(folder, config)
    network.to(device)
    coarse_px = config.augmentation.coarsest_px
    logits = infer(network, images, rows, config, device=device)
    coarse = infer(network, images, rows, config, device=device, coarsen_to_px=coarse_px)
    answers = answers_of(samples, logits.astype(np.float64), coarse.astype(np.float64), coarse_px)
    names = np.array([samples.paths[row].name for row in rows])
    probes = [images[int(row)] for row in rows[:: max(1, len(rows) // _PROBES)][:_PROBES]]
    _save_answers(folder / ANSWERS, answers, names, np.stack(probes))
    evaluated = _judge(answers, config, epoch)
    _save(evaluated, folder / EVALUATION)
    return evaluated


def load_network(folder: Path, config: ClassifierConfig) -> tuple[CamNetwork, int]:
    """The averaged network of the run's best epoch, for evaluation, and that epoch."""
    state = torch.load(folder / BEST, map_location="cpu", weights_only=True)
    network = build_network(config.architecture, len(LABELS))
    return load_weights(network, state["average"]), int(state["progress"]["epoch"])


def read_evaluated(folder: Path) -> Evaluated:
    """What `evaluate` found.

    Raises:
        RunError: the run was not evaluated yet.
    """
    path = folder / EVALUATION
    if not path.exists():
        raise RunError(f"{path} is missing: run `evaluate` first")
    raw = json.loads(path.read_text())
    return Evaluated(
        epoch=raw["epoch"],
        labels=[LabelSpec.model_validate(label) for label in raw["labels"]],
        metrics=[MetricRow.model_validate(row) for row in raw["metrics"]],
    )


def read_probes(folder: Path) -> np.ndarray:
    """Canonical validation images kept by `evaluate`, uint8 [P, S, S]."""
    with np.load(folder / ANSWERS) as archive:
        return np.asarray(archive["probes"])


def _judge(answers: Answers, config: ClassifierConfig, epoch: int) -> Evaluated:
    decisions = fitted_decisions(answers, config.evaluation, config.seed)
    rows = metric_rows(answers, decisions, config.evaluation, config.seed)
    return Evaluated(epoch, list(decisions.labels), rows)


def _save(evaluated: Evaluated, path: Path) -> None:
    write_json(
        path,
        {
            "epoch": evaluated.epoch,
            "labels": [label.model_dump() for label in evaluated.labels],
            "metrics": [row.model_dump() for row in evaluated.metrics],
        },
    )


def _save_answers(path: Path, answers: Answers, names: np.ndarray, probes: np.ndarray) -> None:
    np.savez_compressed(
        path,
        logits=answers.logits,
        coarse_logits=answers.coarse_logits,
        targets=answers.targets,
        patients=answers.patients,
        sources=answers.sources,
        ages=answers.ages,
        sexes=answers.sexes,
        views=answers.views,
        names=names,
        probes=probes,
    )
