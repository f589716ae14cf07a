"""What runs a network: ONNX Runtime or PyTorch, behind one small interface."""

from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class DeviceError(Exception):
    """The device that a setting names is not there; the message is a sentence."""


class Runtime(Protocol):
    """A loaded network. Used by one thread only."""

    @property
    def name(self) -> Literal["onnxruntime", "torch"]:
        """Of the library."""
        ...

    @property
    def device(self) -> str:
        """`cpu` or `cuda:N`."""
        ...

    def run(self, images: FloatArray) -> tuple[FloatArray, ...]:
        """The network's outputs, N first in each, for `images` [N, C, H, W]."""
        ...
