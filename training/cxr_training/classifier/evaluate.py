"""`evaluate`: a run's figures, calibration and operating points on validation patients."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cxr_classifier.network import CamClassifier, load_weights
from cxr_contracts import Architecture, LabelSpec, MetricRow
from cxr_training.classifier.answers import Answers, answers_of
from cxr_training.classifier.config import ClassifierConfig, Evaluation, load_config
from cxr_training.classifier.decisions import fitted_decisions
from cxr_training.classifier.loop import BEST, infer
from cxr_training.classifier.members import architecture_of_all, trained_network
from cxr_training.classifier.report import metric_rows
from cxr_training.classifier.train import (
    CONFIG,
    cache_of,
    device_of_this_machine,
    open_images,
    read_facts,
    samples_of,
)
from cxr_training.classifier.usual_map import MapArray, usual_map
from cxr_training.core.errors import ConfigError, RunError
from cxr_training.core.runs import write_json
from cxr_training.data.splits import Split, split_sha256
from cxr_training.export.half_precision import rounded

EVALUATION = "evaluation.json"
ANSWERS = "validation.npz"
USUAL_MAP = "usual_map.npy"
# So many validation images are kept for the comparison of ONNX with PyTorch.
_PROBES = 16


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What `evaluation.json` holds; `epochs` are the best ones of each member."""

    epochs: list[int]
    evaluation: Evaluation
    labels: list[LabelSpec]
    metrics: list[MetricRow]


def evaluate(
    folder: Path,
    data: Path | None,
    *,
    manifests: Sequence[Path] = (),
    stream: bool = False,
    overrides: tuple[str, ...] = (),
) -> Evaluated:
    """Judge the best averaged weights of the run in `folder` on its validation patients.

    Writes `evaluation.json`, the raw answers as `validation.npz`, for later figures, and, where
    the recipe wants it, `usual_map.npy`.

    Args:
        folder: the run directory.
        data: as it was trained on.
        manifests: as it was trained on.
        stream: decode images as they are needed.
        overrides: of keys in the recipe's section `evaluation`, `evaluation.key=value`.

    Raises:
        ConfigError: an override of another section.
        DataError: the data set is not as published.
        RunError: `data` and `manifests` split otherwise than the data of the training.
    """
    _refuse_other_sections(overrides)
    config = load_config(folder / CONFIG, overrides)
    samples = samples_of(config, data, manifests)
    if split_sha256(samples.patient_splits) != read_facts(folder)["split_sha256"]:
        named = ", ".join(str(path) for path in (data, *manifests) if path is not None)
        raise RunError(f"{named}: other patients than the data that {folder} was trained on")
    images = open_images(config, samples, cache_of(folder), stream=stream)
    rows = samples.rows(Split.VALIDATION)
    device = device_of_this_machine()
    network, epochs = load_network(folder, config)
    network.to(device)
    usual = None
    if config.evaluation.usual_map:
        usual = usual_map(network, samples, images, config, device=device)
    _save_usual_map(folder / USUAL_MAP, usual)
    coarse_px = config.augmentation.coarsest_px
    logits = infer(network, images, rows, config, device=device)
    coarse = infer(network, images, rows, config, device=device, coarsen_to_px=coarse_px)
    answers = answers_of(samples, logits.astype(np.float64), coarse.astype(np.float64), coarse_px)
    names = np.array([samples.paths[row].name for row in rows])
    probes = [images[int(row)] for row in rows[:: max(1, len(rows) // _PROBES)][:_PROBES]]
    _save_answers(folder / ANSWERS, answers, names, np.stack(probes))
    evaluated = _judge(answers, config, epochs)
    _save(evaluated, folder / EVALUATION)
    return evaluated


def load_network(
    folder: Path, config: ClassifierConfig, usual: MapArray | None = None
) -> tuple[CamClassifier, list[int]]:
    """The averaged network of the run's best epoch, as it is published, and that epoch.

    Of several members each at its own best epoch, together. Its weights are rounded to half
    precision, so that what is measured is what will be stored.

    Args:
        folder: the run directory.
        config: its configuration.
        usual: taken off its maps, [L, h, w].
    """
    network, epochs = trained_network(
        folder,
        config,
        published_architecture(config, usual),
        checkpoint=BEST,
        more={} if usual is None else {"usual_map": torch.from_numpy(usual)},
    )
    return load_weights(network, rounded(network.state_dict())), epochs


def published_architecture(config: ClassifierConfig, usual: MapArray | None) -> Architecture:
    """That of the training, and how it is read."""
    whole = architecture_of_all(config)
    arguments = dict(whole.arguments)
    if config.evaluation.mirrored:
        arguments["mirrored"] = True
    if usual is not None:
        arguments["usual_map"] = list(usual.shape[1:])
    return whole.model_copy(update={"arguments": arguments})


def read_usual_map(folder: Path) -> MapArray | None:
    """What `evaluate` left of it in the run directory, [L, h, w]."""
    path = folder / USUAL_MAP
    return np.load(path) if path.exists() else None


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
        # A run of one network says its only epoch.
        epochs=raw["epochs"] if "epochs" in raw else [raw["epoch"]],
        evaluation=Evaluation.model_validate(raw["evaluation"]),
        labels=[LabelSpec.model_validate(label) for label in raw["labels"]],
        metrics=[MetricRow.model_validate(row) for row in raw["metrics"]],
    )


def read_probes(folder: Path) -> np.ndarray:
    """Canonical validation images kept by `evaluate`, uint8 [P, S, S]."""
    with np.load(folder / ANSWERS) as archive:
        return np.asarray(archive["probes"])


def _refuse_other_sections(overrides: tuple[str, ...]) -> None:
    for override in overrides:
        if not override.startswith("evaluation."):
            raise ConfigError(f"{override!r}: only the section `evaluation` can be changed now")


def _save_usual_map(path: Path, usual: MapArray | None) -> None:
    path.unlink(missing_ok=True)
    if usual is not None:
        np.save(path, usual)


def _judge(answers: Answers, config: ClassifierConfig, epochs: list[int]) -> Evaluated:
    decisions = fitted_decisions(answers, config.evaluation, config.seed)
    rows = metric_rows(answers, decisions, config.evaluation, config.seed)
    return Evaluated(epochs, config.evaluation, list(decisions.labels), rows)


def _save(evaluated: Evaluated, path: Path) -> None:
    epochs = evaluated.epochs
    write_json(
        path,
        {
            **({"epochs": epochs} if len(epochs) > 1 else {"epoch": epochs[0]}),
            "evaluation": evaluated.evaluation.model_dump(mode="json"),
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
