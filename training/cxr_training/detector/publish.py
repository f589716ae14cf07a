"""To `models/detector/NAME`: from a run with its figures, or from published detectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from cxr_contracts import (
    Architecture,
    DataSpec,
    InputSpec,
    LabelSpec,
    ModelFile,
    ModelManifest,
    Region,
    TrainingSpec,
)
from cxr_detector.fused import (
    LIBRARY,
    MEMBERS_FILE,
    NAME,
    Member,
    Members,
    is_fused,
    member_folders,
)
from cxr_detector.network import build_network, load_network
from cxr_serving.model_folder import ModelFolder, open_model_folder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.core.errors import PublishError
from cxr_training.core.runs import (
    command_line,
    current_commit,
    portable_command,
    utc_now,
    write_json,
)
from cxr_training.data.annotations import NIH, Annotations, sets_named
from cxr_training.data.splits import Split, split_sha256
from cxr_training.detector.card import render_card
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.dataset import RESIZE
from cxr_training.detector.evaluation import (
    RESAMPLES,
    Evaluation,
    PreparedImages,
    detect_published,
    evaluate,
    match_all,
)
from cxr_training.detector.published import own_annotations, regions_of_manifest
from cxr_training.detector.run import (
    RESULTS,
    annotations_of,
    draw_curves,
    read_run,
    require_same_patients,
    run_weights,
)
from cxr_training.export.onnx import export_onnx
from cxr_training.export.publishing import (
    LICENCE,
    ONNX_NAME,
    WEIGHTS_NAME,
    check_same_answers,
    model_file,
    refuse_taken,
    staged,
    write_manifest,
)
from cxr_training.metrics.detection import Threshold

EVALUATION_FILE = "evaluation.json"
_NIH_LABELS = NIH.credit.replace("BBox_List_2017", "labels")
_N_GEOMETRY = 4
# Of the coarsest grid of places, in pixels of the input.
_LARGEST_STRIDE = 32
# Two boxes that overlap by this much are one finding's, as for the figures.
FUSED_IOU = 0.5
# The weakest box of a member that takes part: below it, boxes change no score that is shown.
LEAST_FUSED_SCORE = 0.001


def evaluate_run(
    config: DetectorConfig,
    data: Path,
    out: Path,
    *,
    resamples: int = RESAMPLES,
    own: Annotations | None = None,
) -> Evaluation:
    """Evaluate the run's weights on validation patients and write `evaluation.json`.

    Raises:
        DataError: no weights, or another split than the run's.
    """
    weights = run_weights(out)
    annotations = own or annotations_of(config, data)
    require_same_patients(out, annotations)
    images = annotations.of(Split.VALIDATION)
    prepared = PreparedImages(images, config.input_spec)
    detections = prepared.detect(network_of(config, weights), config.nms_iou)
    matches = match_all(detections, images, config.regions)
    evaluation = evaluate(matches, images, config.regions, resamples=resamples)
    write_json(out / EVALUATION_FILE, evaluation.model_dump())
    return evaluation


def publish_run(
    config: DetectorConfig, out: Path, models: Path, results: Path, *, replace: bool
) -> ModelManifest:
    """Write the model's folder from the run and its evaluation, and the run's curves.

    Args:
        config: the recipe; its version is the model's.
        out: the run directory.
        models: holds a folder for each detector.
        results: where the curves go.
        replace: whether a model of that name may give way.

    Raises:
        PublishError: a model of that name is there; the run was not evaluated, its weights are not
            finite, or its ONNX answers otherwise than PyTorch.
    """
    refuse_taken(models / config.name, replace=replace)
    path = out / EVALUATION_FILE
    if not path.exists():
        raise PublishError(f"{path} is missing: run `evaluate` first")
    evaluation = Evaluation.model_validate_json(path.read_bytes())
    epochs = len((out / RESULTS).read_text().splitlines()) - 1
    run, weights = {**read_run(out), "epochs_run": epochs}, run_weights(out)
    state = load_file(weights)
    if not all(bool(torch.isfinite(t).all()) for t in state.values() if t.is_floating_point()):
        raise PublishError(f"{weights} holds values that are not finite")
    with staged(models / config.name, replace=replace) as folder:
        save_file(state, folder / WEIGHTS_NAME)
        # safetensors writes for its owner alone; the services run as another user.
        (folder / WEIGHTS_NAME).chmod(0o644)
        network = network_of(config, folder / WEIGHTS_NAME)
        export_detector(network, config.input_spec, folder / ONNX_NAME)
        manifest = _manifest(config, run, evaluation, folder)
        write_manifest(manifest, folder, render_card(manifest))
        load_network(manifest, folder)  # what serving will do
    results.mkdir(parents=True, exist_ok=True)
    # Anew: a run that was killed near its end has lines, and no curves.
    draw_curves(out / RESULTS, results / f"curves_{config.name}.png")
    return manifest


def label_specs(regions: Sequence[Region], thresholds: Sequence[Threshold]) -> list[LabelSpec]:
    """The labels of a detector's manifest; its scores are taken as they are."""
    return [
        LabelSpec(
            name=region.value,
            threshold=round(threshold.score, 4),
            threshold_rule=threshold.rule,
            slope=1.0,
            intercept=0.0,
        )
        for region, threshold in zip(regions, thresholds, strict=True)
    ]


def network_of(config: DetectorConfig, weights: Path) -> nn.Module:
    """The recipe's network with the weights of a run, in evaluation mode, decoding."""
    network = build_network(config.network, len(config.regions))
    network.load_state_dict(load_file(weights))
    return network.requires_grad_(False)


def export_detector(network: nn.Module, spec: InputSpec, path: Path) -> None:
    """Write `network` (decoding) as ONNX: `image` [N, 3, H, W] -> `predictions` [N, 4+c, A].

    N is free, H and W are those of `spec`.

    Raises:
        PublishError: ONNX Runtime answers otherwise than PyTorch.
    """
    example = torch.rand(2, spec.channels, spec.height_px, spec.width_px)
    # Ultralytics' head keeps the shape of its last input and compares; with a shape there, the
    # comparison would tie the export to one batch size.
    inner: Any = network
    inner.model[-1].shape = None
    export_onnx(network, example, path, output_names=["predictions"])
    runtime = OnnxRuntime(path.read_bytes(), threads=1)
    generator = np.random.default_rng(0)
    for batch in (1, 3):
        shape = (batch, spec.channels, spec.height_px, spec.width_px)
        image = generator.random(shape, dtype=np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(image)).numpy()
        (answered,) = runtime.run(image)
        boxes, scores = slice(None, _N_GEOMETRY), slice(_N_GEOMETRY, None)
        check_same_answers(path.name, expected[:, scores], answered[:, scores])
        # A coordinate is some hundreds of pixels: a thousandth of that is below half a pixel.
        check_same_answers(path.name, expected[:, boxes], answered[:, boxes], relative=True)


def data_sources(config: DetectorConfig, run: dict[str, Any]) -> list[str]:
    """Whose images, boxes and weights stand behind the model."""
    credits = [one.credit for one in sets_named(config.data.sets)] or list(run["sources"])
    start, pretraining = run.get("start"), run.get("pretraining")
    told = f"Start: {start['source']}" if start else "Start: random weights"
    if start and "backbone" in start:
        source = start["backbone"]["source"]
        told += f"; its backbone: the first network of the classifier {source}"
    if pretraining:
        told += f", then NIH's labels of {pretraining['n_train']:,} radiographs"
    if teacher := run.get("distillation"):
        told += f"; pseudo-labels of {teacher['n_images']:,} radiographs by {teacher['teacher']}"
    if averaged := run.get("averaged"):
        told += f"; the weights are a mean, {averaged['start_share']:.0%} of it the start"
    labels = [] if NIH.credit in credits or config.data.regions else [_NIH_LABELS]
    return [*labels, *credits, told]


def _manifest(
    config: DetectorConfig, run: dict[str, Any], evaluation: Evaluation, folder: Path
) -> ModelManifest:
    recipe = {
        **config.model_dump(mode="json"),
        "epochs_run": run["epochs_run"],
        "n_background": run["n_background"],
    }
    if "pretraining" in run:
        recipe["pretrained"] = run["pretraining"]
    if "distillation" in run:
        recipe["taught"] = run["distillation"]
    if "averaged" in run:
        recipe["averaged"] = run["averaged"]
    return ModelManifest(
        schema_version=1,
        role="detector",
        name=config.name,
        version=config.version,
        created_at=utc_now(),
        licence=LICENCE,
        architecture=config.network,
        input=config.input_spec,
        labels=label_specs(config.regions, evaluation.thresholds),
        weights=model_file(folder / WEIGHTS_NAME),
        onnx=model_file(folder / ONNX_NAME),
        extra={"nms_iou": config.nms_iou, "max_boxes": config.max_boxes, "resize": RESIZE},
        data=DataSpec(
            sources=data_sources(config, run),
            split_sha256=run["split_sha256"],
            n_train=run["n_train"],
            n_validation=run["n_validation"],
        ),
        training=TrainingSpec(
            command=portable_command(run["command"]), commit=run["commit"], recipe=recipe
        ),
        metrics=evaluation.metrics,
    )


def fuse_published(
    models: Sequence[Path], folder: Path, data: Path, *, version: str, replace: bool
) -> ModelManifest:
    """Write the folder of a model that fuses the boxes of `models`, with its figures.

    Nothing is trained or fitted but the thresholds, and all members count alike.

    Args:
        models: published detectors beside `folder`, the one first whose input the card names.
        folder: `models/detector/<name>`.
        data: the folder that holds nih/ and chestx-det/.
        version: of the new model.
        replace: whether a model of that name may give way.

    Raises:
        DataError: the data is not as published.
        ModelFolderError: a member is not what its manifest says.
        PublishError: fewer than two members, one that lies elsewhere, or they do not know the same
            regions.
    """
    members = [open_model_folder(model, "detector") for model in models]
    _require_alike(members, folder)
    annotations = own_annotations(members[0].manifest, data)
    with staged(folder, replace=replace) as partial:
        (partial / MEMBERS_FILE).write_text(_listed(members).model_dump_json(indent=2) + "\n")
        manifest = _fused_manifest(
            members, model_file(partial / MEMBERS_FILE), folder.name, version
        )
        manifest = _with_figures(manifest, partial, annotations)
        member_folders(open_model_folder(partial, "detector"))  # what serving will do
    return manifest


def resize_published(model: Path, data: Path, *, input_px: int, version: str) -> ModelManifest:
    """Publish a detector anew, with the weights that it has, for an input of another size.

    Its ONNX file, thresholds and figures are new; an 8-bit file, and what its scores mean, are to
    be made again.

    Args:
        model: the published folder, of one network; the new one takes its place.
        data: the folder that holds nih/ and chestx-det/.
        input_px: side of the new input, a multiple of 32.
        version: of the new model.

    Raises:
        DataError: the data is not as published.
        ModelFolderError: the folder is not what its manifest says.
        PublishError: several networks, a side that the network cannot take, or an ONNX file that
            answers otherwise than PyTorch.
    """
    folder = open_model_folder(model, "detector")
    published = folder.manifest
    if is_fused(published.architecture):
        raise PublishError(f"{published.name} is several networks: resize these, and fuse them")
    if input_px <= 0 or input_px % _LARGEST_STRIDE:
        raise PublishError(f"an input of {input_px} px: its side is a multiple of 32")
    annotations = own_annotations(published, data)
    spec = published.input.model_copy(update={"width_px": input_px, "height_px": input_px})
    with staged(model, replace=True) as partial:
        (partial / WEIGHTS_NAME).write_bytes(folder.weights())
        network = build_network(published.architecture, len(published.labels))
        network.load_state_dict(load_file(partial / WEIGHTS_NAME))
        export_detector(network.requires_grad_(False), spec, partial / ONNX_NAME)
        training = published.training
        recipe = {**training.recipe, "published_for_px": input_px}
        update = {
            "version": version,
            "created_at": utc_now(),
            "input": spec,
            "onnx": model_file(partial / ONNX_NAME),
            "int8": None,
            "training": training.model_copy(update={"recipe": recipe}),
        }
        return _with_figures(published.model_copy(update=update), partial, annotations)


def _with_figures(manifest: ModelManifest, folder: Path, annotations: Annotations) -> ModelManifest:
    """Write `manifest` to `folder` with thresholds and figures of validation patients.

    They are patients by a hash of their numbers, so none was trained on, in whatever part of the
    data; which part was measured on, the split of the manifest says from now on.
    """
    write_manifest(manifest, folder)
    images, regions = annotations.of(Split.VALIDATION), regions_of_manifest(manifest)
    detections = detect_published(open_model_folder(folder, "detector"), images)
    matches = match_all([detections[image.name] for image in images], images, regions)
    evaluation = evaluate(matches, images, regions)
    labels = label_specs(regions, evaluation.thresholds)
    measured_on = {"split_sha256": split_sha256(annotations.splits), "n_validation": len(images)}
    manifest = manifest.model_copy(
        update={
            "labels": labels,
            "metrics": evaluation.metrics,
            "data": manifest.data.model_copy(update=measured_on),
        }
    )
    write_manifest(manifest, folder, render_card(manifest))
    return manifest


def _require_alike(members: Sequence[ModelFolder], folder: Path) -> None:
    if len(members) < 2:
        raise PublishError("at least two detectors are needed to fuse their boxes")
    first = members[0].manifest
    for member in members:
        if member.path.resolve().parent != folder.resolve().parent:
            raise PublishError(f"{member.path} does not lie beside {folder}")
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


def _fused_manifest(
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
            library=LIBRARY,
            name=NAME,
            arguments={"iou": FUSED_IOU, "lowest_score": LEAST_FUSED_SCORE},
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
