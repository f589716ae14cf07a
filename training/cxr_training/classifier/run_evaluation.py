"""A run's figures, calibration and operating points on its validation patients."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from cxr_classifier.network import CamClassifier, load_weights
from cxr_contracts import Architecture, LabelSpec, MetricRow
from cxr_training.classifier.calibration import fitted_decisions
from cxr_training.classifier.config import ClassifierConfig, Evaluation, load_config
from cxr_training.classifier.ensemble import trained_network
from cxr_training.classifier.loading import evaluation_batches
from cxr_training.classifier.loop import BEST, infer
from cxr_training.classifier.metrics import metric_rows
from cxr_training.classifier.predictions import predictions_of
from cxr_training.classifier.samples import RowArray, Samples
from cxr_training.classifier.train import CONFIG, cache_of, read_facts, samples_of
from cxr_training.core.distributed import Processes
from cxr_training.core.errors import ConfigError, RunError
from cxr_training.core.runs import write_json
from cxr_training.data.cache import CanonicalImages, canonical_images
from cxr_training.data.splits import Split, split_sha256
from cxr_training.export.half_precision import rounded

EVALUATION, PROBES, MEAN_NORMAL_CAM = "evaluation.json", "probes.npy", "mean_normal_cam.npy"
# So many validation images are kept for the comparison of ONNX with PyTorch.
_PROBES = 16
# Enough for a mean on a coarse grid; spread evenly over the training patients.
_NORMAL_IMAGES = 400
MapArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RunEvaluation:
    """What `evaluation.json` holds; `epochs` are the best ones of each member."""

    epochs: list[int]
    evaluation: Evaluation
    labels: list[LabelSpec]
    metrics: list[MetricRow]


def evaluate_run(
    folder: Path,
    nih: Path | None,
    *,
    manifests: Sequence[Path] = (),
    overrides: tuple[str, ...] = (),
) -> RunEvaluation:
    """Calibrate and evaluate the best averaged weights of the run in `folder`.

    Writes `evaluation.json`, `mean_normal_cam.npy`, and some validation images for the export.

    Args:
        folder: the run directory.
        nih: as it was trained on.
        manifests: as it was trained on.
        overrides: of keys in the recipe's section `evaluation`, `evaluation.key=value`.

    Raises:
        ConfigError: an override of another section.
        DataError: the data set is not as published, or a test set.
        RunError: `nih` and `manifests` split otherwise than the data of the training.
    """
    for override in overrides:
        if not override.startswith("evaluation."):
            raise ConfigError(f"{override!r}: only the section `evaluation` can be changed now")
    config = load_config(folder / CONFIG, overrides)
    samples = samples_of(config, nih, manifests)
    if split_sha256(samples.patient_splits) != read_facts(folder)["split_sha256"]:
        named = ", ".join(str(path) for path in (nih, *manifests) if path is not None)
        raise RunError(f"{named}: other patients than the data that {folder} was trained on")
    images = canonical_images(samples.paths, config.canonical_px, cache_of(folder))
    rows, device = samples.rows(Split.VALIDATION), Processes().device
    network, epochs = load_network(folder, config)
    network.to(device)
    normal = mean_normal_cam(network, samples, images, config, device=device)
    np.save(folder / MEAN_NORMAL_CAM, normal)
    coarse_px = config.augmentation.coarsest_px
    logits = infer(network, images, rows, config, device=device)
    coarse = infer(network, images, rows, config, device=device, coarsen_to_px=coarse_px)
    predictions = predictions_of(samples, Split.VALIDATION, logits, coarse, coarse_px)
    np.save(folder / PROBES, _probes(images, rows))
    decisions = fitted_decisions(predictions, config.evaluation, config.seed)
    evaluated = RunEvaluation(
        epochs,
        config.evaluation,
        list(decisions.labels),
        metric_rows(predictions, decisions, config.evaluation, config.seed),
    )
    write_json(
        folder / EVALUATION,
        {
            "epochs": epochs,
            "evaluation": config.evaluation.model_dump(mode="json"),
            "labels": [label.model_dump() for label in evaluated.labels],
            "metrics": [row.model_dump() for row in evaluated.metrics],
        },
    )
    return evaluated


def _probes(images: CanonicalImages, rows: RowArray) -> npt.NDArray[np.uint8]:
    chosen = rows[:: max(1, len(rows) // _PROBES)][:_PROBES]
    return np.stack([images[int(row)] for row in chosen])


def mean_normal_cam(
    network: CamClassifier,
    samples: Samples,
    images: CanonicalImages,
    config: ClassifierConfig,
    *,
    device: torch.device,
) -> MapArray:
    """Mean map of training radiographs without a finding, less its mean over the cells.

    A class activation map says how much each place speaks for a finding, and most of it is the
    same in every chest: lungs speak against a consolidation, whosever they are. Less this mean, a
    map shows where a radiograph differs from a normal one. float32 [L, h, w].
    """
    rows = samples.rows(Split.TRAIN)
    normal = rows[samples.targets[rows].sum(axis=1) == 0]
    chosen = normal[:: max(1, len(normal) // _NORMAL_IMAGES)][:_NORMAL_IMAGES]
    total, count = torch.zeros(()), 0
    with torch.inference_mode():
        for batch in evaluation_batches(images, chosen, config, None):
            _, cams = network(batch.to(device))
            total = total + cams.float().sum(dim=0).cpu()
            count += len(batch)
    mean = total / count
    centred: MapArray = (mean - mean.mean(dim=(1, 2), keepdim=True)).numpy()
    return centred


def load_network(
    folder: Path, config: ClassifierConfig, normal: MapArray | None = None
) -> tuple[CamClassifier, list[int]]:
    """The averaged network of the run's best epoch, as it is published, and that epoch.

    Of several members each at its own best epoch, together. Its weights are rounded to half
    precision, so that what is measured is what will be stored.

    Args:
        folder: the run directory.
        config: its configuration.
        normal: the mean normal CAM, taken off its maps, [L, h, w].
    """
    network, epochs = trained_network(
        folder,
        config,
        published_architecture(config, normal),
        checkpoint=BEST,
        more={} if normal is None else {"mean_normal_cam": torch.from_numpy(normal)},
    )
    return load_weights(network, rounded(network.state_dict())), epochs


def published_architecture(config: ClassifierConfig, normal: MapArray | None) -> Architecture:
    """That of the training, with the number of members and the mean normal CAM's grid."""
    arguments = dict(config.architecture.arguments)
    if config.members > 1:
        arguments["members"] = config.members
    if normal is not None:
        arguments["mean_normal_cam"] = list(normal.shape[1:])
    return config.architecture.model_copy(update={"arguments": arguments})


def read_evaluation(folder: Path) -> RunEvaluation:
    """What `evaluate_run` found.

    Raises:
        RunError: the run was not evaluated yet.
    """
    path = folder / EVALUATION
    if not path.exists():
        raise RunError(f"{path} is missing: run `cxr classifier evaluate --run {folder}` first")
    raw = json.loads(path.read_text())
    return RunEvaluation(
        epochs=raw["epochs"],
        evaluation=Evaluation.model_validate(raw["evaluation"]),
        labels=[LabelSpec.model_validate(label) for label in raw["labels"]],
        metrics=[MetricRow.model_validate(row) for row in raw["metrics"]],
    )
