"""Where an imported model goes: complete and tried, or not at all."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_classifier.evidence import MAPS, NO_MAPS
from cxr_classifier.network import TokenNetwork
from cxr_classifier.predictor import ONNX_LIBRARY
from cxr_classifier.predictor import load_predictor as load_classifier
from cxr_classifier.settings import ClassifierSettings
from cxr_classifier.torch_runtime import load_torch_runtime
from cxr_contracts import MANIFEST_NAME, DataSpec, ModelManifest, Role, TrainingSpec
from cxr_detector.fused import is_fused, member_folders
from cxr_detector.loading import load_predictor as load_detector
from cxr_detector.settings import DetectorSettings
from cxr_gateway.ood import load_ood_detector
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import ModelFolder, ModelFolderError, checked_bytes, open_model_folder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.classifier.card import OF_FEATURES, classifier_card
from cxr_training.classifier.publish import export
from cxr_training.core.runs import current_commit, sha256_of, utc_now
from cxr_training.data.splits import split_sha256
from cxr_training.export.publishing import (
    CARD_NAME,
    ONNX_NAME,
    WEIGHTS_NAME,
    check_same_answers,
    model_file,
    read_manifest,
    staged,
    write_manifest,
)
from cxr_training.importing import ModelImportError
from cxr_training.importing.networks import (
    Foreign,
    ForeignNetwork,
    Selection,
    adopt,
    drawn_images,
    probes,
)
from cxr_training.importing.onnx_file import ForeignGraph, write_onnx

_NOT_STATED = "not stated"
_THREADS = 1
# How a map comes about, in the words of the card.
_OF_PATCHES = "the head applied to each patch's token"
_AS_GIVEN = "those that the file gives"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asks of the new model, and says of the weights."""

    name: str
    version: str
    models: Path
    replace: bool
    command: str
    licence: str | None = None
    trained_on: str | None = None


def target_of(models: Path, role: Role, name: str, *, replace: bool) -> Path:
    """Where the model goes; ModelImportError if one is there that may not be replaced."""
    target = models / role / name
    if target.exists() and not replace:
        raise ModelImportError(f"{target} is there already: give another --name, or --replace")
    return target


def publish_foreign(
    foreign: ForeignNetwork | ForeignGraph, wanted: Wanted, origin: Mapping[str, object]
) -> Path:
    """Write `models/classifier/<name>/` and try it as the service would; the model folder.

    Args:
        foreign: the file and what is known of it.
        wanted: name, version and place.
        origin: where the weights came from, for the manifest and the card.

    Raises:
        ModelImportError: the weights are not fit to be served, nobody says under which licence
            they are, or the folder is there already.
        PublishError: ONNX Runtime answers otherwise than PyTorch, or than the given file.
    """
    target = target_of(wanted.models, "classifier", wanted.name, replace=wanted.replace)
    if not (wanted.licence or foreign.licence):
        raise ModelImportError(
            f"{foreign.path} does not say under which licence it is: say it with --licence"
        )
    with staged(target, replace=True) as folder:
        if isinstance(foreign, ForeignGraph):
            selection, maps = foreign.selection(), _AS_GIVEN if foreign.maps else NO_MAPS
            write_onnx(foreign, folder / ONNX_NAME)
        else:
            adopted = adopt(foreign)
            selection = adopted.selection
            of_patches = isinstance(adopted.network, TokenNetwork)
            maps = _OF_PATCHES if of_patches else OF_FEATURES
            export(adopted.network, folder, probes(foreign.spec))
        manifest = _manifest(foreign, selection, wanted, origin, maps=maps, folder=folder)
        write_manifest(manifest, folder, classifier_card(manifest))
        try_out(folder)
    return target


def import_folder(source: Path, models: Path, *, replace: bool) -> Path:
    """Take over a model folder of ours, of any role; the new folder.

    What is copied is what was checked: schema, size and sha256 of each file, labels, an inference
    on drawn images, and for a classifier that both runtimes agree. A detector that was fused from
    others brings those that are not there yet.

    Raises:
        ModelImportError: the folder is not what its manifest says, or is there already, or another
            detector has the name of one that it was fused from.
        PublishError: ONNX Runtime and PyTorch differ.
    """
    try:
        opened = _open(source)
        manifest = opened.manifest
        target = target_of(models, manifest.role, manifest.name, replace=replace)
        _import_members(opened, models)
        with staged(target, replace=True) as folder:
            (folder / manifest.weights.path).write_bytes(opened.weights())
            (folder / manifest.onnx.path).write_bytes(opened.onnx())
            if manifest.int8 is not None:
                quantised = checked_bytes(source, manifest.int8.onnx)
                (folder / manifest.int8.onnx.path).write_bytes(quantised)
            for name in (MANIFEST_NAME, CARD_NAME):
                if (source / name).is_file():
                    shutil.copyfile(source / name, folder / name)
            try_out(folder)
    except ModelFolderError as error:
        raise ModelImportError(str(error).removesuffix(".")) from error
    return target


def _import_members(opened: ModelFolder, models: Path) -> None:
    """Take over the detectors that a model was fused from, where they are not in `models` yet."""
    members = member_folders(opened) if is_fused(opened.manifest.architecture) else ()
    for member in members:
        here = models / member.manifest.role / member.path.name
        if not here.exists():
            import_folder(member.path, models, replace=False)
        elif _files(read_manifest(here)) != _files(member.manifest):
            raise ModelImportError(
                f"{opened.manifest.name} was fused from another {member.path.name} than the one in "
                f"{here}: rename that, or import into another --models"
            )


def _files(manifest: ModelManifest) -> tuple[str, str]:
    return manifest.weights.sha256, manifest.onnx.sha256


def _open(source: Path) -> ModelFolder:
    try:
        role = read_manifest(source).role
    except (OSError, ValueError):
        role = "classifier"  # whatever it is: opening it says in a sentence what is wrong
    return open_model_folder(source, role)


def _manifest(
    foreign: Foreign,
    selection: Selection,
    wanted: Wanted,
    origin: Mapping[str, object],
    *,
    maps: str,
    folder: Path,
) -> ModelManifest:
    labels, onnx = selection.labels, model_file(folder / ONNX_NAME)
    has_weights = (folder / WEIGHTS_NAME).is_file()
    calibrated = any((label.slope, label.intercept) != (1.0, 0.0) for label in labels)
    return ModelManifest(
        schema_version=1,
        role="classifier",
        name=wanted.name,
        version=wanted.version,
        created_at=utc_now(),
        licence=wanted.licence or foreign.licence,
        architecture=foreign.architecture,
        input=foreign.spec,
        labels=labels,
        weights=model_file(folder / WEIGHTS_NAME) if has_weights else onnx,
        onnx=onnx,
        extra={
            "imported": {**origin, "file": foreign.path.name, "sha256": sha256_of(foreign.path)},
            "outputs": [output.label for output in foreign.outputs],
            "dropped": selection.dropped,
            MAPS: maps,
            "calibration": "Slope and intercept as given with the weights."
            if calibrated
            else "None: the sigmoid of the network's own logit.",
            "threshold": labels[0].threshold_rule,
        },
        data=DataSpec(
            sources=[wanted.trained_on or foreign.data or _NOT_STATED],
            # No patient of its training was placed by us: the split is the empty one.
            split_sha256=split_sha256({}),
            n_train=0,
            n_validation=0,
        ),
        training=TrainingSpec(command=wanted.command, commit=current_commit(), recipe={}),
        metrics=[],
    )


def try_out(folder: Path) -> None:
    """Load the model as its service does and let it read the drawn images.

    Raises:
        ModelImportError: the service would refuse it, or fails on an image.
        PublishError: a classifier's ONNX file and its weights differ.
    """
    role = read_manifest(folder).role
    try:
        if role == "ood":
            detector = load_ood_detector(folder)
            for image in drawn_images():
                detector.check(image)
        elif role == "detector":
            settings = DetectorSettings(model_dir=folder, model=None, runtime="onnxruntime")
            boxes = load_detector(settings)
            boxes.predict([boxes.prepare(_decoded(image)) for image in drawn_images()])
        else:
            _try_classifier(folder)
    except ModelFolderError as error:
        raise ModelImportError(str(error).removesuffix(".")) from error


def _try_classifier(folder: Path) -> None:
    model = load_classifier(ClassifierSettings(model_dir=folder, runtime="onnxruntime"))
    try:
        prepared = [model.prepare(_decoded(image)) for image in drawn_images()[:2]]
        for prediction in model.predict(prepared):
            prediction.findings_and_cams(explain=1)
    except Exception as error:  # whatever a foreign file makes of an image
        raise ModelImportError(f"{model.manifest.name} fails on an image: {error}") from error
    if model.manifest.architecture.library == ONNX_LIBRARY:
        return
    opened = open_model_folder(folder, "classifier")
    batch = probes(model.manifest.input)
    on_torch = load_torch_runtime(opened, device="cpu", threads=_THREADS).run(batch)
    on_onnx = OnnxRuntime(opened.onnx(), threads=_THREADS).run(batch)
    for name, expected, found in zip(("logits", "cams"), on_torch, on_onnx, strict=True):
        check_same_answers(name, expected, found, relative=name == "cams")


def _decoded(image: npt.NDArray[np.uint8]) -> DecodedImage:
    return DecodedImage(image, "png")
