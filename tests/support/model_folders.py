"""Model folders of the real architectures with random weights, for tests without trained models.

Small inputs keep them quick; everything else is as training publishes it: safetensors, the ONNX
file of the same weights, and a manifest with their sizes and sha256.
"""

import atexit
import functools
import hashlib
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from cxr_classifier.network import build_network as build_classifier
from cxr_contracts import (
    MANIFEST_NAME,
    Architecture,
    DataSpec,
    Finding,
    InputSpec,
    LabelSpec,
    ModelFile,
    ModelManifest,
    Region,
    Role,
    TrainingSpec,
)
from cxr_detector.network import build_network as build_detector
from cxr_detector.preprocessing import Resize, fit
from support.images import radiograph_like

CLASSIFIER_PX = 96
DETECTOR_PX = 160
_SIZES = [(120, 100), (100, 120), (100, 100), (300, 100)]


def write_classifier_folder(
    folder: Path, seed: int = 0, *, findings: Sequence[Finding] = tuple(Finding)
) -> Path:
    """A classifier of `tf_efficientnet_lite0` with random weights, written to `folder`."""
    architecture = Architecture(
        library="timm", name="tf_efficientnet_lite0", arguments={"in_chans": 1}
    )
    spec = InputSpec(
        width_px=CLASSIFIER_PX,
        height_px=CLASSIFIER_PX,
        channels=1,
        canonical_px=CLASSIFIER_PX,
        mean=0.5,
        std=0.25,
    )
    made = _files_of("classifier", architecture.name, len(findings), seed, spec.model_dump_json())
    shutil.copytree(made, folder)
    labels = [(finding.value, 0.5, 1.5, -0.25) for finding in findings]
    _write_manifest(folder, "classifier", architecture, spec, labels, extra={})
    return folder


def write_detector_folder(
    folder: Path,
    seed: int = 0,
    *,
    name: str = "yolov5n",
    regions: Sequence[Region] = tuple(Region),
    resize: Resize | None = None,
) -> Path:
    """A detector with random weights, written to `folder`; it reports whatever it scores."""
    architecture = Architecture(library="ultralytics", name=name, arguments={})
    spec = InputSpec(
        width_px=DETECTOR_PX,
        height_px=DETECTOR_PX,
        channels=3,
        canonical_px=None,
        mean=0.0,
        std=1.0,
    )
    made = _files_of("detector", name, len(regions), seed, spec.model_dump_json())
    shutil.copytree(made, folder)
    labels = [(region.value, 0.0, 1.0, 0.0) for region in regions]
    extra = {"nms_iou": 0.5, "max_boxes": 10} | ({"resize": resize} if resize else {})
    _write_manifest(folder, "detector", architecture, spec, labels, extra=extra)
    return folder


def settle(network: nn.Module, spec: InputSpec) -> None:
    """Give random weights activations of a trained network's size, so that outputs differ.

    As they are initialised, the signal dies on its way, and every image gets the same body.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.normal_(module.weight, std=0.5 / module.in_channels**0.5)
    images = [fit(radiograph_like(*size), spec)[0] for size in _SIZES]
    grey = torch.from_numpy(np.stack(images)).float()[:, None] / 255.0
    examples = ((grey - spec.mean) / spec.std).expand(-1, spec.channels, -1, -1)
    with torch.no_grad():
        network.train()
        network(examples)
    network.eval()


@functools.cache
def _files_of(role: Role, name: str, n_labels: int, seed: int, input_spec: str) -> Path:
    """A folder with weights and ONNX; to export a network takes seconds, so once a process."""
    made = tempfile.TemporaryDirectory(prefix="cxr-models-")
    atexit.register(made.cleanup)
    folder, spec = Path(made.name), InputSpec.model_validate_json(input_spec)
    torch.manual_seed(seed)
    if role == "classifier":
        timms = Architecture(library="timm", name=name, arguments={"in_chans": 1})
        network: nn.Module = build_classifier(timms, n_labels).eval()
        outputs = ["logits", "cams"]
    else:
        yolo = Architecture(library="ultralytics", name=name, arguments={})
        network, outputs = build_detector(yolo, n_labels), ["predictions"]
    settle(network, spec)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, folder / "weights.safetensors")
    example = torch.zeros(2, spec.channels, spec.height_px, spec.width_px)
    with warnings.catch_warnings():
        # The exporter warns of its own deprecated parts.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            folder / "model.onnx",
            input_names=["image"],
            output_names=outputs,
            dynamic_axes={name: {0: "n"} for name in ["image", *outputs]},
            dynamo=False,
        )
    return folder


def _write_manifest(
    folder: Path,
    role: Role,
    architecture: Architecture,
    spec: InputSpec,
    labels: list[tuple[str, float, float, float]],
    *,
    extra: dict[str, Any],
) -> None:
    manifest = ModelManifest(
        schema_version=1,
        role=role,
        name=f"random-{role}",
        version="0",
        created_at="2026-01-01T00:00:00Z",
        licence="AGPL-3.0-or-later",
        architecture=architecture,
        input=spec,
        labels=[
            LabelSpec(name=name, threshold=at, threshold_rule="none", slope=slope, intercept=shift)
            for name, at, slope, shift in labels
        ],
        weights=describe_file(folder / "weights.safetensors"),
        onnx=describe_file(folder / "model.onnx"),
        extra=extra,
        data=DataSpec(sources=[], split_sha256="0" * 64, n_train=0, n_validation=0),
        training=TrainingSpec(command="none", commit="none", recipe={}),
        metrics=[],
    )
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2))


def describe_file(path: Path) -> ModelFile:
    """What a manifest says of the file at `path`."""
    data = path.read_bytes()
    return ModelFile(path=path.name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
