"""Networks on ONNX Runtime, on a CPU."""

from typing import Literal

import numpy as np
import onnxruntime

from cxr_serving.model_folder import ModelFolderError
from cxr_serving.runtime import FloatArray

OnnxRuntimeName = Literal["onnxruntime", "onnxruntime-int8"]


class OnnxRuntime:
    """A network from the bytes of an ONNX file.

    Args:
        onnx: the file.
        threads: of one run.
        name: which of a model's files it is.

    Raises:
        ModelFolderError: ONNX Runtime cannot load the file.
    """

    device = "cpu"

    def __init__(self, onnx: bytes, *, threads: int, name: OnnxRuntimeName = "onnxruntime") -> None:
        self.name: OnnxRuntimeName = name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        # Threads that spin between runs would take the cores from the other service and from the
        # decoding of the next image.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                onnx, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common public base
            raise ModelFolderError(f"ONNX Runtime cannot load the model: {error}.") from error
        self._input = self._session.get_inputs()[0].name
        # An imported file may take one image at a time and no more.
        self._one_by_one = self._session.get_inputs()[0].shape[0] == 1

    def run(self, images: FloatArray) -> tuple[FloatArray, ...]:
        """The network's outputs, N first in each, for `images` [N, C, H, W]."""
        if not self._one_by_one:
            return self._run(images)
        each = [self._run(image[None]) for image in images]
        return tuple(np.concatenate(output) for output in zip(*each, strict=True))

    def _run(self, images: FloatArray) -> tuple[FloatArray, ...]:
        outputs: list[FloatArray] = self._session.run(None, {self._input: images})
        return tuple(outputs)
