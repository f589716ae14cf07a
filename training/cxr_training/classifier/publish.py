"""`publish`: an evaluated run becomes a model folder that a service can load."""

import csv
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from cxr_classifier.preprocessing import preprocess
from cxr_contracts import Architecture, DataSpec, ModelManifest, TrainingSpec
from cxr_serving.model_folder import open_model_folder
from cxr_training.classifier.calibration import CALIBRATION_METHOD, threshold_method
from cxr_training.classifier.card import model_card
from cxr_training.classifier.config import ClassifierConfig, load_config
from cxr_training.classifier.curves import draw_curves
from cxr_training.classifier.evaluate import (
    Evaluated,
    load_network,
    published_architecture,
    read_evaluated,
    read_probes,
    read_usual_map,
)
from cxr_training.classifier.export import export
from cxr_training.classifier.judging.maps import map_rows
from cxr_training.classifier.members import member_folders
from cxr_training.classifier.provenance import (
    checkpoint_in_words,
    in_words,
    members_in_short,
    sessions_in_short,
)
from cxr_training.classifier.report import for_manifest
from cxr_training.classifier.train import CONFIG, METRICS, read_facts
from cxr_training.core.errors import RunError
from cxr_training.core.runs import portable_command, read_metrics, utc_now
from cxr_training.data.collection import NIH_SOURCE
from cxr_training.export.publishing import (
    CARD_NAME,
    LICENCE,
    ONNX_NAME,
    WEIGHTS_NAME,
    model_file,
    write_manifest,
)


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
    are judged against hand-drawn boxes. `version` stands in place of the recipe's.

    Raises:
        DataError: the boxes are not as published.
        PublishError: ONNX and PyTorch differ.
        RunError: the run was not evaluated, or trained on since.
    """
    evaluated = read_evaluated(folder)
    config = _published_config(folder, evaluated, version)
    usual = read_usual_map(folder)
    network, epochs = load_network(folder, config, usual)
    if epochs != evaluated.epochs:
        raise RunError(
            f"{folder}: evaluated after epoch {in_words(evaluated.epochs)}, but the best weights "
            f"are now of epoch {in_words(epochs)}: run `evaluate` again"
        )
    target = models / "classifier" / config.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".publishing-") as staging:
        staged = Path(staging) / config.name
        staged.mkdir()
        probes = np.stack([preprocess(grey, config.input) for grey in read_probes(folder)])
        export(network, staged, probes)
        architecture = published_architecture(config, usual)
        manifest = _manifest(folder, config, architecture, evaluated, staged)
        write_manifest(manifest, staged)
        if data is not None:
            maps = map_rows(open_model_folder(staged, "classifier"), data)
            metrics = [*manifest.metrics, *for_manifest(maps)]
            manifest = manifest.model_copy(update={"metrics": metrics})
            write_manifest(manifest, staged)
        (staged / CARD_NAME).write_text(model_card(manifest))
        if target.exists():
            shutil.rmtree(target)
        staged.rename(target)
    _copy_curves([member / METRICS for member in member_folders(folder, config)], results)
    return target


def _published_config(folder: Path, evaluated: Evaluated, version: str | None) -> ClassifierConfig:
    config = load_config(folder / CONFIG)
    changed = {"evaluation": evaluated.evaluation, "version": version or config.version}
    return config.model_copy(update=changed)


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
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            cells |= _flat(value, f"{name}.")
        elif value is None:
            cells[name] = ""
        else:
            cells[name] = f"{value:.5g}" if isinstance(value, float) else str(value)
    return cells


def _manifest(
    folder: Path,
    config: ClassifierConfig,
    architecture: Architecture,
    evaluated: Evaluated,
    staged: Path,
) -> ModelManifest:
    facts = read_facts(folder)
    return ModelManifest(
        schema_version=1,
        role="classifier",
        name=config.name,
        version=config.version,
        created_at=utc_now(),
        licence=LICENCE,
        architecture=architecture,
        input=config.input,
        labels=evaluated.labels,
        weights=model_file(staged / WEIGHTS_NAME),
        onnx=model_file(staged / ONNX_NAME),
        extra={
            "calibration": CALIBRATION_METHOD,
            "threshold": threshold_method(config.evaluation.operating_point),
            "checkpoint": checkpoint_in_words(folder, config, evaluated.epochs),
            "sessions": sessions_in_short(facts["sessions"]),
            **members_in_short(folder, config, evaluated.epochs),
        },
        data=DataSpec(
            # A run of before there were manifests says nothing: it had NIH alone.
            sources=facts.get("sources", [NIH_SOURCE]),
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
