"""What a published detector finds, and how long it takes, through the service's own code."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from cxr_contracts import LOWEST_MIN_SCORE, Region
from cxr_detector.fused import is_fused, member_folders
from cxr_detector.loading import assemble
from cxr_detector.network import load_network
from cxr_detector.postprocessing import Detections
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import ModelFolder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.data.pixels import decode_grey
from cxr_training.detector.annotations import AnnotatedImage
from cxr_training.detector.evaluation import Found

_TIMED_RUNS = 20


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model takes: milliseconds of one image through the network, on one thread of a CPU."""

    parameters: int
    """Of the network as it is served, batch normalisation folded in."""
    onnx_ms: float
    """ONNX Runtime, which is what is served on a CPU."""
    torch_ms: float
    """The same weights in eager PyTorch."""


def read_published(folder: ModelFolder, images: Iterable[AnnotatedImage]) -> dict[str, Found]:
    """What is found on each of `images`, by file name; labels are those of the manifest.

    Each file is decoded, and goes through the preprocessing, the ONNX file and the box selection of
    the service, down to the lowest score that it gives out.

    Raises:
        DataError: an image that cannot be decoded.
        ModelFolderError: a file is not what the manifest says, or cannot be loaded.
    """
    predictor = assemble(folder, _onnx_on_all_cores)
    predictor.warm_up(1)
    found = {}
    for image in tqdm(images, desc=folder.manifest.name, unit="image", mininterval=5):
        grey = decode_grey(image.path)
        prepared = predictor.prepare(DecodedImage(grey, "png", as_stored=True))
        [detections] = predictor.predict([replace(prepared, min_score=LOWEST_MIN_SCORE)])
        height, width = grey.shape
        found[image.name] = Found(detections, width, height)
    return found


def found_on(
    found: Mapping[str, Found],
    images: Sequence[AnnotatedImage],
    own: Sequence[Region],
    regions: Sequence[Region],
) -> list[Found]:
    """Of what was found on `images`, the boxes of `regions`, labelled by these instead of `own`."""
    number = np.array([regions.index(region) if region in regions else -1 for region in own])
    return [_relabelled(found[image.name], number) for image in images]


def only_of(images: Sequence[AnnotatedImage], regions: Sequence[Region]) -> list[AnnotatedImage]:
    """The same radiographs, as if nobody had heard of other regions."""
    known = frozenset(regions)
    return [
        replace(
            image,
            boxes=tuple(box for box in image.boxes if box.region in known),
            unknown=image.unknown & known,
        )
        for image in images
    ]


def measure_cost(folder: ModelFolder) -> Cost:
    """The cost of the model in `folder`, of all its networks; the two runtimes take turns.

    Raises:
        ModelFolderError: a file is not what the manifest says.
    """
    if not is_fused(folder.manifest.architecture):
        return _cost_of_one(folder)
    costs = [_cost_of_one(member) for member in member_folders(folder)]
    return Cost(
        parameters=sum(cost.parameters for cost in costs),
        onnx_ms=sum(cost.onnx_ms for cost in costs),
        torch_ms=sum(cost.torch_ms for cost in costs),
    )


def _onnx_on_all_cores(folder: ModelFolder) -> OnnxRuntime:
    # Only the ONNX file runs here; the weights are checked because a service may run those.
    folder.weights()
    return OnnxRuntime(folder.onnx(), threads=len(os.sched_getaffinity(0)))


def _cost_of_one(folder: ModelFolder) -> Cost:
    import torch

    folder.weights()
    network: Any = load_network(folder.manifest, folder.path)
    runtime = OnnxRuntime(folder.onnx(), threads=1)
    spec = folder.manifest.input
    image = np.random.default_rng(0).random(
        (1, spec.channels, spec.height_px, spec.width_px), dtype=np.float32
    )
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    times: list[list[float]] = []
    try:
        with torch.inference_mode():
            for _ in range(_TIMED_RUNS):
                begin = time.perf_counter()
                runtime.run(image)
                between = time.perf_counter()
                network(torch.from_numpy(image))
                times.append([between - begin, time.perf_counter() - between])
    finally:
        torch.set_num_threads(before)
    onnx_s, torch_s = np.median(times, axis=0)
    parameters = sum(tensor.numel() for tensor in network.parameters())
    return Cost(parameters, float(onnx_s) * 1e3, float(torch_s) * 1e3)


def _relabelled(one: Found, number: np.ndarray) -> Found:
    detections = one.detections
    labels = number[detections.labels]
    kept = labels >= 0
    chosen = Detections(
        labels[kept], detections.scores[kept], detections.boxes[kept], detections.above_threshold[kept]
    )
    return replace(one, detections=chosen)
