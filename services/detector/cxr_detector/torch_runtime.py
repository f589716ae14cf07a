"""The detector on PyTorch; imports torch and Ultralytics, so import it only where they are."""

from cxr_detector.network import load_network
from cxr_serving.model_folder import ModelFolder, ModelFolderError
from cxr_serving.torch_runtime import TorchRuntime, choose_device


def load_torch_runtime(folder: ModelFolder, *, device: str, threads: int) -> TorchRuntime:
    """The network of `folder` with its checked weights.

    Raises:
        ModelFolderError: The weights are not what the manifest says, or do not fill the network.
    """
    folder.weights()
    try:
        network = load_network(folder.manifest, folder.path)
    except (ValueError, RuntimeError) as error:
        raise ModelFolderError(f"{folder.path} does not fill its network: {error}.") from error
    return TorchRuntime(network, device=choose_device(device), threads=threads)
