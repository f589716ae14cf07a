"""From a finished run to `models/detector/<name>/`."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from cxr_contracts import (
    DataSpec,
    LabelSpec,
    MetricRow,
    ModelManifest,
    TrainingSpec,
)
from cxr_detector.network import build_network, load_network
from cxr_training.core.errors import PublishError
from cxr_training.core.runs import portable_command, utc_now
from cxr_training.detector.card import write_card
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.export import export_detector
from cxr_training.detector.thresholds import Threshold
from cxr_training.export.publishing import (
    CARD_NAME,
    LICENCE,
    ONNX_NAME,
    WEIGHTS_NAME,
    model_file,
    write_manifest,
)

_NIH = "NIH ChestX-ray14 (Wang et al., CVPR 2017; NIH Clinical Center), images and labels"
_NIH_BOXED = _NIH.replace("images and labels", "images and BBox_List_2017")
_CHESTX_DET = "ChestX-Det (Lian et al. 2021; annotations Apache-2.0)"


def network_of(config: DetectorConfig, weights: Path) -> torch.nn.Module:
    """The recipe's network with the weights of a run, in evaluation mode, not fused."""
    network = build_network(config.network, len(config.regions))
    network.load_state_dict(load_file(weights))
    return network.requires_grad_(False)


def publish(
    config: DetectorConfig,
    folder: Path,
    *,
    run: dict[str, Any],
    weights: Path,
    thresholds: list[Threshold],
    metrics: list[MetricRow],
) -> ModelManifest:
    """Write the model's folder anew: weights, ONNX, manifest, card.

    Everything is made beside the folder first, so that a failure leaves the old one standing.

    Args:
        config: the recipe.
        folder: `models/detector/<name>`.
        run: what the run says of itself (`run.json`).
        weights: the run's averaged weights.
        thresholds: one for each class, in the order of the recipe's regions.
        metrics: the figures on validation patients.

    Raises:
        PublishError: weights that are not finite, or ONNX that answers otherwise than PyTorch.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    state = {name: tensor.contiguous() for name, tensor in load_file(weights).items()}
    if not all(bool(torch.isfinite(t).all()) for t in state.values() if t.is_floating_point()):
        raise PublishError(f"{weights} holds values that are not finite")
    save_file(state, partial / WEIGHTS_NAME)
    # safetensors writes for its owner alone; the services run as another user.
    (partial / WEIGHTS_NAME).chmod(0o644)
    network: Any = network_of(config, partial / WEIGHTS_NAME)
    export_detector(network, config.input_spec(), partial / ONNX_NAME)
    manifest = _manifest(config, run, thresholds, metrics, partial)
    write_manifest(manifest, partial)
    write_card(manifest, partial / CARD_NAME)
    load_network(manifest, partial)  # what serving will do
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return manifest


def data_sources(config: DetectorConfig, run: dict[str, Any]) -> list[str]:
    """Whose images, boxes and weights stand behind the model."""
    sources = [_NIH_BOXED if "nih" in config.data.sets else _NIH]
    sources += [_CHESTX_DET] if "chestx-det" in config.data.sets else []
    start, labelled = run.get("start"), run.get("pretraining")
    told = f"Start: {start['source']}" if start else "Start: random weights"
    if start and "trunk" in start:
        told += f"; its backbone: the first network of the classifier {start['trunk']['source']}"
    if labelled:
        told += f", then NIH's labels of {labelled['n_train']:,} radiographs"
    return [*sources, told]


def _recipe(config: DetectorConfig, run: dict[str, Any]) -> dict[str, Any]:
    """The recipe and what came of it."""
    outcome = {"epochs_run": run["epochs_run"], "n_background": run["n_background"]}
    if run.get("n_labelled"):
        outcome["n_labelled"] = run["n_labelled"]
    if "pretraining" in run:
        outcome["pretrained"] = run["pretraining"]
    return {**config.model_dump(mode="json"), **outcome}


def _manifest(
    config: DetectorConfig,
    run: dict[str, Any],
    thresholds: list[Threshold],
    metrics: list[MetricRow],
    folder: Path,
) -> ModelManifest:
    return ModelManifest(
        schema_version=1,
        role="detector",
        name=config.name,
        version=config.version,
        created_at=utc_now(),
        licence=LICENCE,
        architecture=config.network,
        input=config.input_spec(),
        labels=[
            LabelSpec(
                name=region.value,
                threshold=round(threshold.score, 4),
                threshold_rule=threshold.rule,
                slope=1.0,
                intercept=0.0,
            )
            for region, threshold in zip(config.regions, thresholds, strict=True)
        ],
        weights=model_file(folder / WEIGHTS_NAME),
        onnx=model_file(folder / ONNX_NAME),
        extra={
            "nms_iou": config.nms_iou,
            "max_boxes": config.max_boxes,
            "resize": config.resize,
        },
        data=DataSpec(
            sources=data_sources(config, run),
            split_sha256=run["split_sha256"],
            n_train=run["n_train"],
            n_validation=run["n_validation"],
        ),
        training=TrainingSpec(
            command=portable_command(run["command"]),
            commit=run["commit"],
            recipe=_recipe(config, run),
        ),
        metrics=metrics,
    )
