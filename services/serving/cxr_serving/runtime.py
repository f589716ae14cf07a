"""What runs a network: ONNX Runtime or PyTorch, behind one small interface."""

import importlib.util
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from cxr_serving.settings import RuntimeChoice

RuntimeName = Literal["onnxruntime", "onnxruntime-int8", "torch"]
FloatArray = npt.NDArray[np.float32]
# Device files of NVIDIA's driver on Linux and under WSL. Importing torch takes seconds and
# 200 MB, so it is not asked where these say no; a setting overrules the guess.
_CUDA_DEVICE_FILES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))


class DeviceError(Exception):
    """The device that a setting names is not there; the message is a sentence."""


class Runtime(Protocol):
    """A loaded network. Used by one thread only."""

    @property
    def name(self) -> RuntimeName:
        """Of the library, and that of its file with 8-bit integers."""
        ...

    @property
    def device(self) -> str:
        """`cpu` or `cuda:N`."""
        ...

    def run(self, images: FloatArray) -> tuple[FloatArray, ...]:
        """The network's outputs, N first in each, for `images` [N, C, H, W]."""
        ...


def choose_runtime(choice: RuntimeChoice) -> Literal["onnxruntime", "torch"]:
    """What `auto` means on this machine: PyTorch where it sees CUDA, ONNX Runtime elsewhere."""
    if choice != "auto":
        return choice
    if not any(path.exists() for path in _CUDA_DEVICE_FILES):
        return "onnxruntime"
    if importlib.util.find_spec("torch") is None:
        return "onnxruntime"
    from cxr_serving.torch_runtime import cuda_is_available

    return "torch" if cuda_is_available() else "onnxruntime"
