"""Writes a run's gate into a model folder: weights, ONNX from the same weights, manifest, card."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from cxr_contracts import (
    Architecture,
    DataSpec,
    InputSpec,
    LabelSpec,
    MetricRow,
    ModelManifest,
    TrainingSpec,
)
from cxr_gateway.gate import load_model
from cxr_training.core.runs import utc_now
from cxr_training.export.onnx import export_onnx
from cxr_training.export.publishing import (
    CARD_NAME,
    LICENCE,
    ONNX_NAME,
    WEIGHTS_NAME,
    check_same_answers,
    model_file,
    read_manifest,
    write_manifest,
)
from cxr_training.gate.card import write_card
from cxr_training.gate.config import KIND_REASONS, KINDS, GateConfig
from cxr_training.gate.network import GateNetwork
from cxr_training.gate.run import RunSummary

NAME = "gate-cxr"
LABEL = "frontal_chest_radiograph"
_RULES = {"min_side_px": 32, "max_aspect_ratio": 2.5, "min_contrast": 0.004}


def publish(
    summary: RunSummary, network: GateNetwork, folder: Path, *, version: str
) -> ModelManifest:
    """Write the model folder of a finished run, without metrics yet (`add_metrics`).

    Raises:
        PublishError: ONNX Runtime and PyTorch differ by more than 1e-3 in the logit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), folder / WEIGHTS_NAME)
    side_px = summary.config.canonical_px
    export_onnx(
        network,
        torch.rand(2, 1, side_px, side_px),
        folder / ONNX_NAME,
        output_names=["chest_logit", "kind_probabilities"],
    )
    manifest = _manifest(summary, folder, version)
    _write(manifest, folder)
    _check_export(network, folder)
    return manifest


def add_metrics(folder: Path, metrics: list[MetricRow], *, n_validation: int) -> ModelManifest:
    """Put measured figures into a published folder's manifest and write its card anew."""
    manifest = read_manifest(folder)
    data = manifest.data.model_copy(update={"n_validation": n_validation})
    manifest = manifest.model_copy(update={"metrics": metrics, "data": data})
    _write(manifest, folder)
    return manifest


def _manifest(summary: RunSummary, folder: Path, version: str) -> ModelManifest:
    config = summary.config
    return ModelManifest(
        schema_version=1,
        role="gate",
        name=NAME,
        version=version,
        created_at=utc_now(),
        licence=LICENCE,
        architecture=_architecture(config),
        input=InputSpec(
            width_px=config.canonical_px,
            height_px=config.canonical_px,
            channels=1,
            canonical_px=config.canonical_px,
            # The network standardises each picture by itself.
            mean=0.0,
            std=1.0,
        ),
        labels=[_label(summary)],
        weights=model_file(folder / WEIGHTS_NAME),
        onnx=model_file(folder / ONNX_NAME),
        extra={"kinds": list(KINDS), "kind_reasons": KIND_REASONS, "rules": _RULES},
        data=DataSpec(
            sources=[
                "NIH ChestX-ray14",
                "generated pictures",
                "photographs of skimage, sklearn, ultralytics",
            ],
            split_sha256=summary.split_sha256,
            n_train=summary.n_fit + summary.n_calibration,
            n_validation=0,
        ),
        training=TrainingSpec(
            command=summary.command,
            commit=summary.commit,
            recipe=config.model_dump(mode="json"),
        ),
        metrics=[],
    )


def _architecture(config: GateConfig) -> Architecture:
    return Architecture(
        library="cxr",
        name="gate-network",
        arguments={
            "side_px": config.canonical_px,
            "channels": list(config.channels),
            "features": config.features,
            "n_kinds": len(KINDS),
        },
    )


def _label(summary: RunSummary) -> LabelSpec:
    # Shifted so that the operating point reads as one half; the slope is the network's own.
    return LabelSpec(
        name=LABEL,
        threshold=0.5,
        threshold_rule=(
            f"refuses {summary.config.target_false_refusal:.1%} of {summary.n_calibration} "
            "radiographs of training patients kept out of the fit"
        ),
        slope=1.0,
        intercept=-summary.threshold_logit,
    )


def _write(manifest: ModelManifest, folder: Path) -> None:
    write_manifest(manifest, folder)
    write_card(manifest, folder / CARD_NAME)


def _check_export(network: GateNetwork, folder: Path) -> None:
    model = load_model(folder)
    side = model.manifest.input.width_px
    pictures = np.random.default_rng(0).random((5, 1, side, side)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pictures))[0].numpy()
    found, _ = model.run(pictures)
    check_same_answers(str(folder), expected, found)
