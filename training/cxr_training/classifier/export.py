"""The network as `weights.safetensors` and `model.onnx`, held to the same answers."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file

from cxr_classifier.network import CamClassifier
from cxr_training.export.half_precision import exactly_halved
from cxr_training.export.onnx import export_onnx
from cxr_training.export.publishing import ONNX_NAME, WEIGHTS_NAME, check_same_answers


def export(network: CamClassifier, folder: Path, probes: np.ndarray) -> None:
    """Write both files into `folder` and compare them; weights that are halves stand as such.

    The ONNX file takes `image` float32 [N, C, H, W], N free, and answers `logits` [N, L] and
    `cams` [N, L, h, w].

    Args:
        network: on the CPU, set to evaluation.
        folder: the model folder.
        probes: real network inputs, float32 [P, C, H, W], P at least 2.

    Raises:
        PublishError: the ONNX file answers otherwise than the network.
    """
    network = network.to(memory_format=torch.contiguous_format)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(exactly_halved(state), folder / WEIGHTS_NAME)
    # safetensors writes for the owner alone; a service runs as another user.
    (folder / WEIGHTS_NAME).chmod(0o644)
    export_onnx(
        network,
        torch.from_numpy(probes[:2]),
        folder / ONNX_NAME,
        output_names=["logits", "cams"],
    )
    session = onnxruntime.InferenceSession(
        str(folder / ONNX_NAME), providers=["CPUExecutionProvider"]
    )
    # All at once and one alone: the batch must be free, and must not change an answer.
    for batch in (probes, probes[:1]):
        with torch.inference_mode():
            expected = network(torch.from_numpy(batch))
        answered = session.run(["logits", "cams"], {"image": batch})
        for name, theirs, ours in zip(("logits", "cams"), expected, answered, strict=True):
            check_same_answers(name, theirs.numpy(), np.asarray(ours), relative=name == "cams")
