"""Which runtime `auto` means on this machine."""

import importlib.util
from pathlib import Path
from typing import Literal

from cxr_serving.reader_settings import RuntimeChoice

# Device files of NVIDIA's driver on Linux and under WSL. Importing torch takes seconds and
# 200 MB, so it is not asked where these say no; a setting overrules the guess.
_CUDA_DEVICE_FILES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))


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
