"""From a published folder to a loaded detector, of one network or of several."""

from collections.abc import Callable

from cxr_detector.fused import FusedPredictor, is_fused, member_folders, why_not_quantised
from cxr_detector.predictor import DetectorPredictor
from cxr_detector.settings import DetectorSettings
from cxr_serving.model_folder import ModelFolder, choose_model, open_model_folder
from cxr_serving.quantised import load_onnx, say_passed_over
from cxr_serving.runtime import Runtime, choose_runtime

Detector = DetectorPredictor | FusedPredictor


def load_predictor(settings: DetectorSettings) -> Detector:
    """The model that `settings` name: opened, checked against its manifest, loaded and warmed.

    Raises:
        ModelFolderError: It cannot be served.
    """
    folder = open_model_folder(choose_model(settings.model_dir, settings.model), "detector")
    if choose_runtime(settings.runtime) == "onnxruntime":
        predictor = _on_onnx_runtime(folder, settings)
    else:
        from cxr_detector.torch_runtime import load_torch_runtime

        predictor = assemble(
            folder,
            lambda one: load_torch_runtime(
                one, device=settings.device, threads=settings.model_threads
            ),
        )
    predictor.warm_up(min(settings.max_batch_size or 1, 2))
    return predictor


def _on_onnx_runtime(folder: ModelFolder, settings: DetectorSettings) -> Detector:
    threads, int8, at_once = settings.model_threads, settings.int8, 1
    if is_fused(folder.manifest.architecture):
        if folder.manifest.int8 is None:
            # What the members' 8-bit files lose together was not measured.
            int8 = "off"
        elif int8 == "auto" and (reason := why_not_quantised(folder, folder.manifest.int8)):
            say_passed_over(folder.manifest.name, reason)
            int8 = "off"
        # Small networks gain more from a core for each of them than from all cores for one.
        at_once = min(threads, len(member_folders(folder)))

    def load(one: ModelFolder) -> Runtime:
        return load_onnx(one, threads=threads // at_once, int8=int8)

    return assemble(folder, load, at_once=at_once)


def assemble(
    folder: ModelFolder, load: Callable[[ModelFolder], Runtime], *, at_once: int = 1
) -> Detector:
    """The detector in `folder`, each of its networks loaded by `load`.

    Args:
        folder: of one network, or of several whose boxes are fused.
        load: makes a network of one folder run.
        at_once: how many of several networks run at the same time.

    Raises:
        ModelFolderError: It, or one that it was fused from, is not what its manifest says.
    """
    if not is_fused(folder.manifest.architecture):
        return DetectorPredictor(folder.manifest, load(folder))
    members = [DetectorPredictor(one.manifest, load(one)) for one in member_folders(folder)]
    return FusedPredictor(folder.manifest, members, at_once=at_once)
