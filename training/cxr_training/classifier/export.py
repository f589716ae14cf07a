"""The network as `weights.safetensors` and `model.onnx`, held to the same predictions."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from safetensors.torch import save_file

from cxr_classifier.network import CamClassifier
from cxr_training.export.half_precision import exactly_halved
from cxr_training.export.onnx import export_onnx
from cxr_training.export.publishing import ONNX_NAME, WEIGHTS_NAME, check_same_answers


def export(network: CamClassifier, folder: Path, probes: npt.NDArray[np.float32]) -> None:
    """Write `weights.safetensors` and `model.onnx`, and hold them to the same predictions.

    The ONNX file takes `image` float32 [N, C, H, W], N free, and gives `logits` [N, L] and `cams`
    [N, L, h, w]. Weights that are halves are stored as such.

    Args:
        network: on the CPU, set to evaluation.
        folder: the model folder.
        probes: real network inputs, float32 [P, C, H, W], P at least 2.

    Raises:
        PublishError: the ONNX file predicts otherwise than the network.
    """
    network = network.to(memory_format=torch.contiguous_format)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(exactly_halved(state), folder / WEIGHTS_NAME)
    # safetensors writes for the owner alone; a service runs as another user.
    (folder / WEIGHTS_NAME).chmod(0o644)
    outputs, onnx = ["logits", "cams"], folder / ONNX_NAME
    export_onnx(network, torch.from_numpy(probes[:2]), onnx, output_names=outputs)
    session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    # All at once and one alone: the batch must be free, and must not change a prediction.
    for batch in (probes, probes[:1]):
        with torch.inference_mode():
            expected = network(torch.from_numpy(batch))
        found = session.run(outputs, {"image": batch})
        for name, theirs, ours in zip(outputs, expected, found, strict=True):
            check_same_answers(name, theirs.numpy(), np.asarray(ours), relative=name == "cams")
