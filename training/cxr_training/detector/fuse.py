"""Several published detectors as one model folder, evaluated on validation patients.

Nothing is trained or fitted but the thresholds. The boxes must overlap as much as for the figures,
and all members count alike.
"""

from collections.abc import Sequence
from pathlib import Path

from cxr_contracts import Architecture, DataSpec, ModelFile, ModelManifest, TrainingSpec
from cxr_detector.fused import LIBRARY, MEMBERS_FILE, NAME, Member, Members, member_folders
from cxr_serving.model_folder import ModelFolder, open_model_folder
from cxr_training.core.errors import PublishError
from cxr_training.core.runs import command_line, current_commit, portable_command, utc_now
from cxr_training.data.splits import Split, split_sha256
from cxr_training.detector.card import render_card
from cxr_training.detector.detections import detect_published, match_all
from cxr_training.detector.evaluation import evaluate
from cxr_training.detector.publish import label_specs
from cxr_training.detector.published import own_annotations, regions_of_manifest
from cxr_training.export.publishing import (
    CARD_NAME,
    LICENCE,
    model_file,
    staged,
    write_manifest,
)
from cxr_training.metrics.detection import Threshold

# Two boxes that overlap by this much are one finding's, as for the figures.
IOU = 0.5
# The weakest box of a member that takes part: below it, boxes change no score that is shown.
LOWEST_SCORE = 0.001


def fuse_published(
    models: Sequence[Path], folder: Path, data: Path, *, version: str, replace: bool
) -> ModelManifest:
    """Write the folder of a model that fuses the boxes of `models`, with its figures.

    Args:
        models: published detectors beside `folder`, the one first whose input the card names.
        folder: `models/detector/<name>`.
        data: the folder that holds nih/ and chestx-det/.
        version: of the new model.
        replace: whether a model of that name may give way.

    Raises:
        DataError: the data is not as published.
        ModelFolderError: a member is not what its manifest says.
        PublishError: fewer than two members, one that lies elsewhere, or they do not learn and
            evaluate by the same split and know the same regions.
    """
    members = [open_model_folder(model, "detector") for model in models]
    _require_alike(members, folder)
    annotations = own_annotations(members[0].manifest, data)
    if split_sha256(annotations.splits) != members[0].manifest.data.split_sha256:
        raise PublishError("the data's patient split is not the one that the members trained on")
    with staged(folder, replace=replace) as partial:
        (partial / MEMBERS_FILE).write_text(_listed(members).model_dump_json(indent=2) + "\n")
        manifest = _manifest(members, model_file(partial / MEMBERS_FILE), folder.name, version)
        write_manifest(manifest, partial)
        images, regions = annotations.of(Split.VALIDATION), regions_of_manifest(manifest)
        detections = detect_published(open_model_folder(partial, "detector"), images)
        matches = match_all([detections[image.name] for image in images], images, regions)
        evaluation = evaluate(matches, images, regions)
        labels = label_specs(regions, evaluation.thresholds)
        figures = {"labels": labels, "metrics": evaluation.metrics}
        manifest = manifest.model_copy(update=figures)
        write_manifest(manifest, partial)
        (partial / CARD_NAME).write_text(render_card(manifest))
        member_folders(open_model_folder(partial, "detector"))  # what serving will do
    return manifest


def _require_alike(members: Sequence[ModelFolder], folder: Path) -> None:
    if len(members) < 2:
        raise PublishError("at least two detectors are needed to fuse their boxes")
    first = members[0].manifest
    for member in members:
        if member.path.resolve().parent != folder.resolve().parent:
            raise PublishError(f"{member.path} does not lie beside {folder}")
        if member.manifest.data.split_sha256 != first.data.split_sha256:
            raise PublishError(f"{member.manifest.name} was trained on another patient split")
        if [one.name for one in member.manifest.labels] != [one.name for one in first.labels]:
            raise PublishError(f"{member.manifest.name} knows other regions than {first.name}")


def _listed(members: Sequence[ModelFolder]) -> Members:
    return Members(
        members=[
            Member(
                name=member.path.resolve().name,
                version=member.manifest.version,
                weights_sha256=member.manifest.weights.sha256,
                onnx_sha256=member.manifest.onnx.sha256,
            )
            for member in members
        ]
    )


def _manifest(
    members: Sequence[ModelFolder], file: ModelFile, name: str, version: str
) -> ModelManifest:
    """Without figures, and with thresholds that hide everything."""
    first = members[0].manifest
    regions = regions_of_manifest(first)
    sources = dict.fromkeys(source for one in members for source in one.manifest.data.sources)
    return ModelManifest(
        schema_version=1,
        role="detector",
        name=name,
        version=version,
        created_at=utc_now(),
        licence=LICENCE,
        architecture=Architecture(
            library=LIBRARY, name=NAME, arguments={"iou": IOU, "lowest_score": LOWEST_SCORE}
        ),
        input=first.input,
        labels=label_specs(regions, [Threshold(1.0, "none yet")] * len(regions)),
        weights=file,
        onnx=file,
        extra={"max_boxes": first.extra["max_boxes"]},
        data=DataSpec(
            sources=list(sources),
            split_sha256=first.data.split_sha256,
            n_train=max(one.manifest.data.n_train for one in members),
            n_validation=first.data.n_validation,
        ),
        training=TrainingSpec(
            command=portable_command(command_line()),
            commit=current_commit(),
            recipe={"members": [f"{one.manifest.name} {one.manifest.version}" for one in members]},
        ),
        metrics=[],
    )
