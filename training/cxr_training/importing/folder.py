"""Where an imported model goes: complete and tried, or not at all."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cxr_contracts import MANIFEST_NAME, DataSpec, ModelManifest, Role, TrainingSpec
from cxr_detector.fused import is_fused, member_folders
from cxr_serving.model_folder import ModelFolder, ModelFolderError, open_model_folder
from cxr_training.classifier.export import export
from cxr_training.core.files import sha256_of
from cxr_training.core.runs import current_commit, utc_now
from cxr_training.data.splits import split_sha256
from cxr_training.export.publishing import (
    CARD_NAME,
    ONNX_NAME,
    WEIGHTS_NAME,
    model_file,
    read_manifest,
    write_manifest,
)
from cxr_training.importing import ModelImportError
from cxr_training.importing.networks import Adopted, ForeignNetwork, adopt
from cxr_training.importing.trial import probes, try_out
from cxr_training.report.card import facts_table, model_card
from cxr_training.report.tables import markdown_table

_NOT_STATED = "not stated"
_FAILS = (
    "Nothing was measured here. Measure it on radiographs of your own, with labels, before "
    "anybody relies on it: `cxr classifier evaluate --model {folder} --data DATA`.",
    "Choose patients that it was not trained on. Weights that saw NIH ChestX-ray14 may have seen "
    "the very patients that are validation or test patients here; on those its figures flatter it.",
    "An image is stretched to a square of {side} px, as NIH's were. Where the network was trained "
    "on images cropped to a square, a radiograph that is not square looks wider or narrower to it.",
    "Probabilities are as well calibrated as the weights make them, and for their prevalence.",
    "A class activation map shows where the evidence lies on a coarse grid; it is not a contour.",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asks of the new model, and says of the weights."""

    name: str
    version: str
    models: Path
    force: bool
    command: str
    licence: str | None = None
    trained_on: str | None = None


def target_of(models: Path, role: Role, name: str, *, force: bool) -> Path:
    """Where the model goes; ModelImportError if one is there that may not be replaced."""
    target = models / role / name
    if target.exists() and not force:
        raise ModelImportError(f"{target} is there already: give another --name, or --force")
    return target


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """An empty folder that becomes `target` when the block ends well, and is gone if it does not.

    A folder that is there already is replaced in the last moment.
    """
    made = [parent for parent in target.parents if not parent.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".importing-") as staging:
            folder = Path(staging) / target.name
            folder.mkdir()
            yield folder
            if target.exists():
                target.rename(Path(staging) / ".replaced")
            folder.rename(target)
    finally:
        for parent in made:
            with suppress(OSError):  # it holds the model
                parent.rmdir()


def publish_foreign(foreign: ForeignNetwork, wanted: Wanted, origin: Mapping[str, object]) -> Path:
    """Write `models/classifier/<name>/` and try it as the service would; the model folder.

    Args:
        foreign: the weights and what the file says of them.
        wanted: name, version and place.
        origin: where the weights came from, for the manifest and the card.

    Raises:
        ModelImportError: the weights are not fit to be served, or the folder is there already.
        PublishError: ONNX Runtime and PyTorch differ.
    """
    target = target_of(wanted.models, "classifier", wanted.name, force=wanted.force)
    adopted = adopt(foreign)
    with staged(target) as folder:
        export(adopted.network, folder, probes(foreign.spec))
        manifest = _manifest(foreign, adopted, wanted, origin, folder)
        write_manifest(manifest, folder)
        (folder / CARD_NAME).write_text(_card(manifest))
        try_out(folder)
    return target


def import_folder(source: Path, models: Path, *, force: bool) -> Path:
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
        target = target_of(models, manifest.role, manifest.name, force=force)
        members = _import_members(opened, models)
        with staged(target) as folder:
            for member in members:  # beside it while it is tried, as they will be
                (folder.parent / member.name).symlink_to(member.resolve())
            (folder / manifest.weights.path).write_bytes(opened.weights())
            (folder / manifest.onnx.path).write_bytes(opened.onnx())
            for name in (MANIFEST_NAME, CARD_NAME):
                if (source / name).is_file():
                    shutil.copyfile(source / name, folder / name)
            try_out(folder)
    except ModelFolderError as error:
        raise ModelImportError(str(error).removesuffix(".")) from error
    return target


def _import_members(fused: ModelFolder, models: Path) -> list[Path]:
    """The folders in `models` of the detectors that a model was fused from; none of another's."""
    if not is_fused(fused.manifest.architecture):
        return []
    folders = []
    for member in member_folders(fused):
        here = models / member.manifest.role / member.path.name
        if not here.exists():
            import_folder(member.path, models, force=False)
        elif _files(read_manifest(here)) != _files(member.manifest):
            raise ModelImportError(
                f"{fused.manifest.name} was fused from another {member.path.name} than the one in "
                f"{here}: rename that, or import into another --models"
            )
        folders.append(here)
    return folders


def _files(manifest: ModelManifest) -> tuple[str, str]:
    return manifest.weights.sha256, manifest.onnx.sha256


def _open(source: Path) -> ModelFolder:
    try:
        role = read_manifest(source).role
    except (OSError, ValueError):
        role = "classifier"  # whatever it is: opening it says in a sentence what is wrong
    return open_model_folder(source, role)


def _manifest(
    foreign: ForeignNetwork,
    adopted: Adopted,
    wanted: Wanted,
    origin: Mapping[str, object],
    folder: Path,
) -> ModelManifest:
    labels = adopted.selection.labels
    calibrated = any((label.slope, label.intercept) != (1.0, 0.0) for label in labels)
    return ModelManifest(
        schema_version=1,
        role="classifier",
        name=wanted.name,
        version=wanted.version,
        created_at=utc_now(),
        licence=wanted.licence or foreign.licence or _NOT_STATED,
        architecture=foreign.architecture,
        input=foreign.spec,
        labels=labels,
        weights=model_file(folder / WEIGHTS_NAME),
        onnx=model_file(folder / ONNX_NAME),
        extra={
            "imported": {**origin, "file": foreign.path.name, "sha256": sha256_of(foreign.path)},
            "outputs": [output.label for output in foreign.outputs],
            "dropped": adopted.selection.dropped,
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


def _card(manifest: ModelManifest) -> str:
    spec, architecture, extra = manifest.input, manifest.architecture, manifest.extra
    channels = architecture.arguments
    low, high = (float((grey - spec.mean) / spec.std) for grey in (0, 1))
    grey_values = f"Black arrives as {low:.6g}, white as {high:.6g}."
    if "channel_mean" in channels:
        grey_values = (
            "Scaled to 0..1 and repeated in every channel; less "
            f"{channels['channel_mean']}, divided by {channels['channel_std']}."
        )
    origin = {name: f"`{value}`" for name, value in extra["imported"].items() if value}
    origin["trained on"] = "; ".join(manifest.data.sources)
    thresholds = [
        [label.name, f"{label.threshold:.6f} ({label.threshold_rule})"] for label in manifest.labels
    ]
    kept = (
        f"{extra['calibration']} A finding is positive from its threshold on; the logits are "
        "those of the weights as given, to a difference of 0.0001. Other outputs were dropped: "
        f"{', '.join(extra['dropped']) or 'none'}."
    )
    place = {"folder": f"models/classifier/{manifest.name}", "side": spec.width_px}
    return model_card(
        manifest,
        what=f"Imported weights: a classifier of {len(manifest.labels)} findings on frontal chest "
        f"radiographs, `{architecture.name}` ({architecture.library}) at {spec.width_px} x "
        f"{spec.height_px} px. They were trained elsewhere; this card says what came with them "
        f"and no more. Licence of the weights: {manifest.licence}. Imported {manifest.created_at}.",
        headlines=(),
        fails=[sentence.format(**place) for sentence in _FAILS],
        sections={
            "Where it comes from": facts_table(origin),
            "What was kept": f"{kept}\n\n{markdown_table(['finding', 'threshold'], thresholds)}",
            "Grey values": grey_values,
        },
    )
