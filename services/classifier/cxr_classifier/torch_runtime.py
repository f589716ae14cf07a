"""The classifier on PyTorch; imports torch and timm, so import it only where they are."""

from safetensors.torch import load

from cxr_classifier.network import build_network, load_weights
from cxr_serving.model_folder import ModelFolder, ModelFolderError
from cxr_serving.torch_runtime import TorchRuntime, choose_device


def load_torch_runtime(folder: ModelFolder, *, device: str, threads: int) -> TorchRuntime:
    """The network of `folder` with its checked weights.

    Raises:
        ModelFolderError: The weights are not what the manifest says, or do not fill the network.
    """
    manifest = folder.manifest
    try:
        network = build_network(manifest.architecture, len(manifest.labels))
        load_weights(network, load(folder.weights()))
    except (ValueError, RuntimeError) as error:
        raise ModelFolderError(f"{folder.path} does not fill its network: {error}.") from error
    return TorchRuntime(network, device=choose_device(device), threads=threads)
