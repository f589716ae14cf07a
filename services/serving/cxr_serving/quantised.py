"""Which of a model's ONNX files runs: float32, or 8-bit integers.

The second is faster where the CPU has instructions for it, and a little worse everywhere: what it
loses stands in the manifest, and is its gate. A file that may not run, or that answers otherwise
here than where it was made, is passed over with a sentence in the log, and the first one runs.
"""

import logging
import statistics
import time
from collections.abc import Callable, Set
from pathlib import Path
from typing import Final, Literal

import numpy as np

from cxr_contracts import InputSpec, QuantisedModel, SelfCheck
from cxr_serving.model_folder import ModelFolder, ModelFolderError, checked_bytes
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_serving.runtime import FloatArray, Runtime

# Linux's names for the dot products of 8-bit integers, with which they are faster than floats.
VNNI = frozenset({"avx512_vnni", "avx_vnni"})
INT8_RUNTIME: Final = "onnxruntime-int8"
_CPU_INFO = Path("/proc/cpuinfo")
_TIMED_RUNS = 5
# Squares a side of the image that is checked on: coarse, as the shadows of a radiograph are.
_CHECK_SQUARES = 12
_log = logging.getLogger("cxr.int8")


def cpu_flags(info: Path = _CPU_INFO) -> frozenset[str]:
    """What the first processor can do, by Linux's names; nothing on another system."""
    try:
        lines = info.read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    found = (line.partition(":")[2] for line in lines if line.startswith("flags"))
    return frozenset(next(found, "").split())


def load_onnx(
    folder: ModelFolder,
    *,
    threads: int,
    int8: Literal["auto", "off"],
    flags: Callable[[], Set[str]] = cpu_flags,
) -> OnnxRuntime:
    """The file of `folder` that is to run, loaded.

    Args:
        folder: a published model.
        threads: of one run.
        int8: the setting.
        flags: of the CPU.

    Raises:
        ModelFolderError: the weights or the float32 file are not what the manifest says.
    """
    # All files are checked: responses name the weights, whichever file runs.
    folder.weights()
    plain = OnnxRuntime(folder.onnx(), threads=threads)
    quantised = folder.manifest.int8
    if quantised is None or int8 == "off":
        return plain
    reason = quantised.failed_gate
    if reason is None and not VNNI & flags():
        reason = "this CPU has no VNNI"
    if reason is None:
        try:
            other = open_quantised(folder, quantised, threads=threads)
        except ModelFolderError as error:
            reason = str(error)
    if reason is None:
        ours, theirs = (_seconds(one, folder.manifest.input) for one in (plain, other))
        if theirs < ours:
            _log.info(
                "%s runs with 8-bit integers: %.1f ms an image instead of %.1f.",
                folder.manifest.name,
                theirs * 1e3,
                ours * 1e3,
            )
            return other
        reason = f"it takes {theirs * 1e3:.1f} ms an image here, the float32 file {ours * 1e3:.1f}"
    say_passed_over(folder.manifest.name, reason)
    return plain


def say_passed_over(name: str, reason: str) -> None:
    """Log why a model's 8-bit file does not run; `reason` is half a sentence."""
    _log.warning(
        "The 8-bit file of %s is passed over: %s. The float32 file runs.", name, reason.rstrip(".")
    )


def open_quantised(folder: ModelFolder, quantised: QuantisedModel, *, threads: int) -> OnnxRuntime:
    """The 8-bit file, which answers the self-check as it did when it was made.

    Raises:
        ModelFolderError: it is not what the manifest says, or answers otherwise.
    """
    onnx = checked_bytes(folder.path, quantised.onnx)
    runtime = OnnxRuntime(onnx, threads=threads, name=INT8_RUNTIME)
    check = quantised.check
    if check is None:
        raise ModelFolderError(f"{quantised.onnx.path} has no self-check in the manifest.")
    try:
        found = check_answers(runtime, folder.manifest.input, check.seed)
    except Exception as error:
        raise ModelFolderError(f"{quantised.onnx.path} does not run here: {error}.") from error
    if not same_answers(check, found):
        raise ModelFolderError(f"{quantised.onnx.path} answers otherwise than where it was made.")
    return runtime


def check_answers(runtime: Runtime, spec: InputSpec, seed: int) -> list[float]:
    """The mean over the cells of each row of the first output, for the image of `seed`."""
    (first, *_) = runtime.run(check_image(spec, seed))
    rows: list[float] = first[0].reshape(first.shape[1], -1).mean(axis=1, dtype=float).tolist()
    return rows


def check_image(spec: InputSpec, seed: int) -> FloatArray:
    """[1, C, H, W]: squares of random greys, as the network takes them."""
    greys = np.random.default_rng(seed).random((_CHECK_SQUARES, _CHECK_SQUARES))
    rows, columns = (
        np.arange(side) * _CHECK_SQUARES // side for side in (spec.height_px, spec.width_px)
    )
    plane = ((greys[np.ix_(rows, columns)] - spec.mean) / spec.std).astype(np.float32)
    return np.repeat(plane[np.newaxis], spec.channels, axis=0)[np.newaxis]


def same_answers(check: SelfCheck, found: list[float]) -> bool:
    """Whether as many answers as are stored lie as near them as is allowed; no NaN does."""
    if len(found) != len(check.answers):
        return False
    gaps = np.abs(np.array(found) - np.array(check.answers))
    return bool((gaps <= np.array(check.allowed)).all())


def _seconds(runtime: OnnxRuntime, spec: InputSpec) -> float:
    """The median time of one image, after a first one."""
    image, times = check_image(spec, 0), []
    for _ in range(1 + _TIMED_RUNS):
        started = time.perf_counter()
        runtime.run(image)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])
