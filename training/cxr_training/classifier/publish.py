"""What becomes of a run: it is calibrated and evaluated, then published as a model folder."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from safetensors.torch import save_file

from cxr_classifier.network import CamClassifier, build_network, ensemble_state, load_weights
from cxr_contracts import MANIFEST_NAME, Architecture, DataSpec, ModelManifest, TrainingSpec
from cxr_serving.model_folder import open_model_folder
from cxr_training.classifier.calibration import CALIBRATION_METHOD, LEVELS_METHOD, uncalibrated
from cxr_training.classifier.card import classifier_card
from cxr_training.classifier.config import ClassifierConfig, load_config
from cxr_training.classifier.evaluation import Rules, evaluate_samples
from cxr_training.classifier.loading import evaluation_batches
from cxr_training.classifier.localisation import evaluate_maps
from cxr_training.classifier.loop import BEST, METRICS, draw_curves, training_device
from cxr_training.classifier.metrics import for_manifest
from cxr_training.classifier.samples import Samples
from cxr_training.classifier.train import (
    CONFIG,
    cache_of,
    member_configs,
    member_folders,
    read_facts,
    samples_of,
)
from cxr_training.core.checkpoints import read_checkpoint
from cxr_training.core.errors import ConfigError, RunError
from cxr_training.core.runs import portable_command, read_metrics, utc_now
from cxr_training.data.cache import CanonicalImages, canonical_images
from cxr_training.data.splits import Split, split_sha256
from cxr_training.export.onnx import exactly_halved, export_onnx, rounded
from cxr_training.export.publishing import (
    LICENCE,
    ONNX_NAME,
    WEIGHTS_NAME,
    check_same_answers,
    model_file,
    read_manifest,
    refuse_taken,
    staged,
    write_manifest,
)

# The model folder of a run that was evaluated.
MODEL = "model"
# So many validation images are there to compare ONNX with PyTorch.
_PROBES = 16
# Enough for a mean on a coarse grid; spread evenly over the training patients.
_NORMAL_IMAGES = 400
_BEST = "best mean AUROC on validation patients (labels learned within a source evaluated there)"
MapArray = npt.NDArray[np.float32]


def evaluate_run(
    folder: Path,
    nih: Path | None,
    *,
    manifests: Sequence[Path] = (),
    overrides: tuple[str, ...] = (),
) -> ModelManifest:
    """Calibrate and evaluate the best averaged weights of the run in `folder`.

    Writes `model/`, the model folder that `publish` takes, with every figure but those of maps;
    they are measured on its ONNX file, run as a service runs it.

    Args:
        folder: the run directory.
        nih: as it was trained on.
        manifests: as it was trained on.
        overrides: of keys in the recipe's section `evaluation`, `evaluation.key=value`.

    Raises:
        ConfigError: an override of another section.
        DataError: the data set is not as published, or a test set.
        PublishError: ONNX and PyTorch differ.
        RunError: `nih` and `manifests` split otherwise than the data of the training; a
            checkpoint is missing or cannot be read.
    """
    for override in overrides:
        if not override.startswith("evaluation."):
            raise ConfigError(f"{override!r}: only the section `evaluation` can be changed now")
    config = load_config(folder / CONFIG, overrides)
    samples = samples_of(config, nih, manifests)
    if split_sha256(samples.patient_splits) != read_facts(folder)["split_sha256"]:
        named = ", ".join(str(path) for path in (nih, *manifests) if path is not None)
        raise RunError(f"{named}: other patients than the data that {folder} was trained on")
    return evaluate_on(config, samples, folder)


def evaluate_on(config: ClassifierConfig, samples: Samples, folder: Path) -> ModelManifest:
    """As `evaluate_run`, on samples that are read and checked already."""
    images = canonical_images(samples.paths, config.canonical_px, cache_of(folder))
    states = _best_states(folder, config)
    normal = _mean_normal_map(states)
    if normal is None:
        normal = mean_normal_cam(_network(config, states), samples, images, config)
    rows = samples.rows(Split.VALIDATION)
    probes = rows[:: max(1, len(rows) // _PROBES)][:_PROBES]
    # On the CPU, where it is held to its ONNX file.
    [batch] = evaluation_batches(images, probes, config, torch.device("cpu"))
    model = folder / MODEL
    shutil.rmtree(model, ignore_errors=True)
    model.mkdir()
    export(_network(config, states, normal), model, batch.numpy())
    manifest = _manifest(folder, config, model, normal)
    write_manifest(manifest, model)
    rules = Rules(config.evaluation, config.seed, config.augmentation.coarsest_px, fitted=True)
    served = open_model_folder(model, "classifier")
    found = evaluate_samples(served, samples, Split.VALIDATION, rules)
    manifest = manifest.model_copy(
        update={
            "labels": list(found.decisions.labels),
            "metrics": for_manifest(found.rows),
            "extra": _extra(folder, config, states),
        }
    )
    write_manifest(manifest, model)
    return manifest


def mean_normal_cam(
    network: CamClassifier, samples: Samples, images: CanonicalImages, config: ClassifierConfig
) -> MapArray:
    """Mean map of training radiographs without a finding, less its mean over the cells.

    A class activation map says how much each place speaks for a finding, and most of it is the
    same in every chest: lungs speak against a consolidation, whosever they are. Less this mean, a
    map shows where a radiograph differs from a normal one. float32 [L, h, w].
    """
    rows, device = samples.rows(Split.TRAIN), training_device()
    normal = rows[(samples.targets[rows] == 0).all(axis=1)]
    if not len(normal):
        # Every image has some label: what they share is what a chest looks like.
        normal = rows
    chosen = normal[:: max(1, len(normal) // _NORMAL_IMAGES)][:_NORMAL_IMAGES]
    network.to(device)
    total, count = torch.zeros(()), 0
    with torch.inference_mode():
        for batch in evaluation_batches(images, chosen, config, device):
            _, cams = network(batch.to(device))
            total = total + cams.float().sum(dim=0).cpu()
            count += len(batch)
    mean = total / count
    centred: MapArray = (mean - mean.mean(dim=(1, 2), keepdim=True)).numpy()
    return centred


def _mean_normal_map(states: Sequence[dict[str, Any]]) -> MapArray | None:
    """What is taken off the maps of a run that learned from boxes, [L, h, w]; None of another.

    Its maps learned to point with the usual places of boxes added: the same is done in serving.
    """
    places = [state["usual_places"] for state in states if "usual_places" in state]
    return -torch.stack(places).mean(dim=0).numpy() if places else None


def _best_states(folder: Path, config: ClassifierConfig) -> list[dict[str, Any]]:
    return [read_checkpoint(member / BEST) for member in member_folders(folder, config)]


def _network(
    config: ClassifierConfig, states: Sequence[dict[str, Any]], normal: MapArray | None = None
) -> CamClassifier:
    """The averaged networks of these checkpoints as one, as it is published.

    Its weights are rounded to half precision, so that what is measured is what will be stored.
    `normal` is the mean normal CAM, taken off its maps, [L, h, w].
    """
    tensors = ensemble_state([state["average"] for state in states])
    if normal is not None:
        tensors["mean_normal_cam"] = torch.from_numpy(normal)
    network = build_network(_architecture(config, normal), len(config.labels))
    load_weights(network, tensors)
    return load_weights(network, rounded(network.state_dict()))


def _architecture(config: ClassifierConfig, normal: MapArray | None) -> Architecture:
    """That of the training, with the number of members and the mean normal CAM's grid."""
    arguments = dict(config.architecture.arguments)
    if config.members > 1:
        arguments["members"] = config.members
    if normal is not None:
        arguments["mean_normal_cam"] = list(normal.shape[1:])
    return config.architecture.model_copy(update={"arguments": arguments})


def publish(
    folder: Path,
    models: Path,
    results: Path,
    data: Path | None = None,
    *,
    version: str | None = None,
    replace: bool = False,
) -> Path:
    """Publish the run in `folder` as `models/classifier/<name>/`; the model folder.

    With `replace` a model of that name gives way once the new one is complete. The run's curves go
    into `results`. With `data`, which holds `nih/` and perhaps `chestx-det/`, the maps are
    evaluated against hand-drawn boxes. `version` stands in place of the recipe's.

    Raises:
        DataError: the boxes are not as published.
        PublishError: a model of that name is there already, without `replace`.
        RunError: the run was not evaluated, or trained on since.
    """
    model, config = folder / MODEL, load_config(folder / CONFIG)
    target = models / "classifier" / config.name
    refuse_taken(target, replace=replace)
    if not (model / MANIFEST_NAME).exists():
        raise RunError(f"{model} is missing: run `cxr classifier evaluate --run {folder}` first")
    manifest = read_manifest(model)
    if manifest.extra.get("checkpoint") != _checkpoint(
        folder, config, _best_states(folder, config)
    ):
        raise RunError(f"{folder} was trained on since it was evaluated: run `evaluate` again")
    training, version = manifest.training, version or manifest.version
    manifest = manifest.model_copy(
        update={
            "created_at": utc_now(),
            "version": version,
            "training": training.model_copy(
                update={"recipe": training.recipe | {"version": version}}
            ),
        }
    )
    with staged(target, replace=replace) as staging:
        shutil.copytree(model, staging, dirs_exist_ok=True)
        if data is not None:
            maps = evaluate_maps(open_model_folder(staging, "classifier"), data)
            metrics = [*manifest.metrics, *for_manifest(maps)]
            manifest = manifest.model_copy(update={"metrics": metrics})
        write_manifest(manifest, staging, classifier_card(manifest))
    results.mkdir(parents=True, exist_ok=True)
    curves = [member / METRICS for member in member_folders(folder, config)]
    draw_curves(curves, results / "curves.png")
    return target


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


def _manifest(
    folder: Path, config: ClassifierConfig, model: Path, normal: MapArray
) -> ModelManifest:
    """Of a network that is not calibrated yet, its files in `model`."""
    facts = read_facts(folder)
    return ModelManifest(
        schema_version=1,
        role="classifier",
        name=config.name,
        version=config.version,
        created_at=utc_now(),
        licence=LICENCE,
        architecture=_architecture(config, normal),
        input=config.input,
        labels=[uncalibrated(label) for label in config.labels],
        weights=model_file(model / WEIGHTS_NAME),
        onnx=model_file(model / ONNX_NAME),
        extra={},
        data=DataSpec(
            sources=facts["sources"],
            split_sha256=facts["split_sha256"],
            n_train=int(facts["n_train"]),
            n_validation=int(facts["n_validation"]),
        ),
        training=TrainingSpec(
            command=portable_command(facts["sessions"][-1]["command"]),
            commit=facts["sessions"][-1]["commit"],
            recipe=config.model_dump(mode="json"),
        ),
        metrics=[],
    )


def _extra(
    folder: Path, config: ClassifierConfig, states: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """How it was calibrated, which weights these are, and of several members what each was."""
    extra: dict[str, Any] = {
        "calibration": CALIBRATION_METHOD,
        "threshold": LEVELS_METHOD,
        "checkpoint": _checkpoint(folder, config, states),
        "start": read_facts(folder).get("start", ""),
    }
    if config.members > 1:
        extra["members"] = [
            {
                "seed": own.seed,
                "epoch": int(state["progress"]["epoch"]),
                "epochs": len(read_metrics(into / METRICS)),
                "commit": (last := read_facts(into)["sessions"][-1])["commit"],
                "command": portable_command(last["command"]),
            }
            for into, own, state in zip(
                member_folders(folder, config), member_configs(config), states, strict=True
            )
        ]
    return extra


def _checkpoint(folder: Path, config: ClassifierConfig, states: Sequence[dict[str, Any]]) -> str:
    """Which weights of the run these are, in words."""
    done = [len(read_metrics(member / METRICS)) for member in member_folders(folder, config)]
    stood = [f"{x['progress']['epoch']} of {n}" for x, n in zip(states, done, strict=True)]
    if config.members == 1:
        return f"averaged weights after epoch {stood[0]}, the {_BEST}"
    return (
        f"the mean of {config.members} networks, trained alike from seeds "
        f"{_in_words([own.seed for own in member_configs(config)])}: of each the averaged weights "
        f"after its own {_BEST}, which was epoch {_in_words(stood)}"
    )


def _in_words(values: Sequence[object]) -> str:
    """E.g. `1, 2 and 3`."""
    *first, last = [str(value) for value in values]
    return f"{', '.join(first)} and {last}" if first else last
