"""From a published folder to a loaded detector, of one network or of several."""

from collections.abc import Callable

from cxr_detector.fused import FusedPredictor, is_fused, member_folders
from cxr_detector.predictor import DetectorPredictor
from cxr_detector.settings import DetectorSettings
from cxr_serving.model_folder import ModelFolder, choose_model, open_model_folder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_serving.runtime import Runtime
from cxr_serving.runtime_choice import choose_runtime

Detector = DetectorPredictor | FusedPredictor


def load_predictor(settings: DetectorSettings) -> Detector:
    """The model that `settings` name: opened, checked against its manifest, loaded and warmed.

    Raises:
        ModelFolderError: It cannot be served.
    """
    folder = open_model_folder(choose_model(settings.model_dir, settings.model), "detector")
    predictor = assemble(folder, lambda one: _load_runtime(one, settings))
    predictor.warm_up(settings.max_batch_size)
    return predictor


def assemble(folder: ModelFolder, load: Callable[[ModelFolder], Runtime]) -> Detector:
    """The detector in `folder`, each of its networks loaded by `load`.

    Raises:
        ModelFolderError: It, or one that it was fused from, is not what its manifest says.
    """
    if not is_fused(folder.manifest.architecture):
        return DetectorPredictor(folder.manifest, load(folder))
    members = [DetectorPredictor(one.manifest, load(one)) for one in member_folders(folder)]
    return FusedPredictor(folder.manifest, members)


def _load_runtime(folder: ModelFolder, settings: DetectorSettings) -> Runtime:
    # The files of both runtimes are checked: the answers name the weights, whichever file runs.
    folder.weights()
    if choose_runtime(settings.runtime) == "onnxruntime":
        return OnnxRuntime(folder.onnx(), threads=settings.model_threads)
    from cxr_detector.torch_runtime import load_torch_runtime

    return load_torch_runtime(folder, device=settings.device, threads=settings.model_threads)
