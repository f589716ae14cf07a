"""Networks on ONNX Runtime, on a CPU."""

from typing import Literal

import onnxruntime

from cxr_serving.model_folder import ModelFolderError
from cxr_serving.runtime import FloatArray


class OnnxRuntime:
    """A network from the bytes of an ONNX file.

    Raises:
        ModelFolderError: ONNX Runtime cannot load the file.
    """

    name: Literal["onnxruntime"] = "onnxruntime"
    device = "cpu"

    def __init__(self, onnx: bytes, *, threads: int) -> None:
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

    def run(self, images: FloatArray) -> tuple[FloatArray, ...]:
        """The network's outputs, N first in each, for `images` [N, C, H, W]."""
        outputs: list[FloatArray] = self._session.run(None, {self._input: images})
        return tuple(outputs)
