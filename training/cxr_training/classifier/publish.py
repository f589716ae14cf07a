"""`publish`: an evaluated run becomes a model folder that a service can load."""

import csv
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_classifier.preprocessing import preprocess
from cxr_contracts import DataSpec, ModelManifest, TrainingSpec
from cxr_serving.model_folder import open_model_folder
from cxr_training.classifier.calibration import CALIBRATION_METHOD, threshold_method
from cxr_training.classifier.card import classifier_card
from cxr_training.classifier.config import ClassifierConfig, load_config
from cxr_training.classifier.curves import draw_curves
from cxr_training.classifier.ensemble import member_configs, member_folders
from cxr_training.classifier.export import export
from cxr_training.classifier.localisation.scores import evaluate_maps
from cxr_training.classifier.loop import METRICS
from cxr_training.classifier.metrics import for_manifest
from cxr_training.classifier.run_evaluation import (
    MEAN_NORMAL_CAM,
    PROBES,
    RunEvaluation,
    load_network,
    published_architecture,
    read_evaluation,
)
from cxr_training.classifier.train import CONFIG, read_facts
from cxr_training.core.errors import RunError
from cxr_training.core.runs import portable_command, read_metrics, utc_now
from cxr_training.export.publishing import (
    CARD_NAME,
    LICENCE,
    ONNX_NAME,
    WEIGHTS_NAME,
    model_file,
    write_manifest,
)

_BEST = "best mean AUROC on validation patients (labels learned within a source evaluated there)"


def publish(
    folder: Path,
    models: Path,
    results: Path,
    data: Path | None = None,
    *,
    version: str | None = None,
) -> Path:
    """Publish the run in `folder` as `models/classifier/<name>/`; the model folder.

    A model of that name is replaced only once the new one is complete and checked. The run's
    curves go into `results`. With `data`, which holds `nih/` and perhaps `chestx-det/`, the maps
    are evaluated against hand-drawn boxes. `version` stands in place of the recipe's.

    Raises:
        DataError: the boxes are not as published.
        PublishError: ONNX and PyTorch differ.
        RunError: the run was not evaluated, or trained on since.
    """
    evaluated = read_evaluation(folder)
    config = load_config(folder / CONFIG)
    changed = {"evaluation": evaluated.evaluation, "version": version or config.version}
    config = config.model_copy(update=changed)
    normal = np.load(folder / MEAN_NORMAL_CAM)
    network, epochs = load_network(folder, config, normal)
    if epochs != evaluated.epochs:
        raise RunError(
            f"{folder}: evaluated after epoch {_in_words(evaluated.epochs)}, but the best weights "
            f"are now of epoch {_in_words(epochs)}: run `evaluate` again"
        )
    target = models / "classifier" / config.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".publishing-") as staging:
        staged = Path(staging) / config.name
        staged.mkdir()
        probes = [preprocess(grey, config.input) for grey in np.load(folder / PROBES)]
        export(network, staged, np.stack(probes))
        manifest = _manifest(folder, config, evaluated, staged, normal)
        write_manifest(manifest, staged)
        if data is not None:
            maps = evaluate_maps(open_model_folder(staged, "classifier"), data)
            metrics = [*manifest.metrics, *for_manifest(maps)]
            manifest = manifest.model_copy(update={"metrics": metrics})
            write_manifest(manifest, staged)
        (staged / CARD_NAME).write_text(classifier_card(manifest))
        if target.exists():
            shutil.rmtree(target)
        staged.rename(target)
    _copy_curves([member / METRICS for member in member_folders(folder, config)], results)
    return target


def _copy_curves(metrics: list[Path], results: Path) -> None:
    """`curves.csv`, a line for each epoch of each member, and `curves.png`."""
    results.mkdir(parents=True, exist_ok=True)
    lines = [
        ({"member": str(index)} if len(metrics) > 1 else {}) | _flat(row)
        for index, file in enumerate(metrics, start=1)
        for row in read_metrics(file)
    ]
    columns = dict.fromkeys(column for line in lines for column in line)
    with (results / "curves.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    draw_curves(metrics, results / "curves.png")


def _flat(row: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """The figures of an epoch as cells: those of each label under `figure.label`."""
    cells: dict[str, str] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            cells |= _flat(value, f"{prefix}{key}.")
        else:
            shown = f"{value:.5g}" if isinstance(value, float) else str(value)
            cells[f"{prefix}{key}"] = "" if value is None else shown
    return cells


def _manifest(
    folder: Path,
    config: ClassifierConfig,
    evaluated: RunEvaluation,
    staged: Path,
    normal: npt.NDArray[np.float32],
) -> ModelManifest:
    facts = read_facts(folder)
    return ModelManifest(
        schema_version=1,
        role="classifier",
        name=config.name,
        version=config.version,
        created_at=utc_now(),
        licence=LICENCE,
        architecture=published_architecture(config, normal),
        input=config.input,
        labels=evaluated.labels,
        weights=model_file(staged / WEIGHTS_NAME),
        onnx=model_file(staged / ONNX_NAME),
        extra={
            "calibration": CALIBRATION_METHOD,
            "threshold": threshold_method(config.evaluation.operating_point),
            **_provenance(folder, config, evaluated.epochs),
        },
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
        metrics=for_manifest(evaluated.metrics),
    )


def _provenance(folder: Path, config: ClassifierConfig, epochs: Sequence[int]) -> dict[str, Any]:
    """Which weights are published, and of several members what each was."""
    folders, configs = member_folders(folder, config), member_configs(config)
    done = [len(read_metrics(member / METRICS)) for member in folders]
    if config.members == 1:
        return {"checkpoint": f"averaged weights after epoch {epochs[0]} of {done[0]}, the {_BEST}"}
    stood = _in_words([f"{epoch} of {n}" for epoch, n in zip(epochs, done, strict=True)])
    which = (
        f"the mean of {config.members} networks, trained alike from seeds "
        f"{_in_words([own.seed for own in configs])}: of each the averaged weights after its own "
        f"{_BEST}, which was epoch {stood}"
    )
    members = []
    for into, own, epoch, n in zip(folders, configs, epochs, done, strict=True):
        last = read_facts(into)["sessions"][-1]
        command, commit = portable_command(last["command"]), last["commit"]
        members.append(
            {"seed": own.seed, "epoch": epoch, "epochs": n, "commit": commit, "command": command}
        )
    return {"checkpoint": which, "members": members}


def _in_words(values: Sequence[object]) -> str:
    """E.g. `1, 2 and 3`."""
    *first, last = [str(value) for value in values]
    return f"{', '.join(first)} and {last}" if first else last
