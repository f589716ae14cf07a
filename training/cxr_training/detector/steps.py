"""The steps of the command line, each from files to files."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cxr_contracts import MetricRow
from cxr_serving.model_folder import ModelFolderError, choose_model
from cxr_training.core.errors import PublishError
from cxr_training.core.runs import command_line, current_commit, utc_now, write_json
from cxr_training.data.errors import DataError
from cxr_training.data.splits import Split, split_sha256
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.dataset import write_dataset
from cxr_training.detector.start import Start
from cxr_training.detector.thresholds import Threshold
from cxr_training.detector.training import (
    RESULTS,
    Sources,
    count_epochs,
    draw_curves,
    read_run,
    resume,
    train,
)
from cxr_training.metrics.rows import metric_row
from cxr_training.report.tables import format_interval

EVALUATION_FILE = "evaluation.json"
# Differences in an error's sentence; all of them are printed and written.
_NAMED = 3


def run_train(
    config: DetectorConfig, sources: Sources, start: Start | None, out: Path, *, go_on: bool
) -> None:
    """Train into `out`, or go on there; DataError before the first epoch, as `train`."""
    if go_on:
        resume(config, sources, out)
    else:
        train(config, sources, start, out, command=command_line(), commit=current_commit())


def run_silence(sources: Sources) -> None:
    """Print how often NIH's labels miss what is drawn; DataError: the data is not as published."""
    from cxr_training.detector.silence import label_agreement, silence_table

    print(silence_table(label_agreement(sources.nih, sources.chestxdet)))


def run_evaluate(config: DetectorConfig, sources: Sources, out: Path) -> None:
    """Judge the run's weights on validation patients and write `evaluation.json`.

    Raises:
        DataError: no weights, or another split than the run's.
    """
    from cxr_training.detector.crosscheck import ultralytics_map50
    from cxr_training.detector.evaluation import evaluate
    from cxr_training.detector.publish import network_of

    weights = _weights(config, out)
    annotations = sources.read(config)
    if split_sha256(annotations.splits) != read_run(out)["split_sha256"]:
        raise DataError(out, "the data's patient split is not the one that the run trained on")
    network = network_of(config, weights)
    images = annotations.of(Split.VALIDATION)
    evaluation = evaluate(network, config, images)
    # Anew: the run may have been made on another machine.
    data_file = write_dataset(annotations, out / "dataset", config.input_spec(), config.resize)
    # Ultralytics' own validator on the same images: a figure to hold ours against.
    theirs = ultralytics_map50(config, weights, data_file)
    boxes = sum(len(image.boxes) for image in images)
    metrics = [
        *evaluation.metrics,
        *metric_row("map50_ultralytics", "all", theirs, n=len(images), n_positive=boxes),
    ]
    write_json(
        out / EVALUATION_FILE,
        {
            "evaluated_at": utc_now(),
            "metrics": [row.model_dump() for row in metrics],
            "thresholds": [asdict(threshold) for threshold in evaluation.thresholds],
        },
    )
    for row in metrics:
        print(
            f"{row.name:12} {row.subset:24} {format_interval(row.result)}  boxes {row.n_positive}"
        )


def run_publish(
    config: DetectorConfig, out: Path, models: Path, results: Path, *, version: str | None = None
) -> None:
    """Write the model's folder from the run and its evaluation, and the run's curves.

    Args:
        config: the recipe.
        out: the run directory.
        models: holds a folder for each detector.
        results: where the curves go.
        version: in place of the recipe's.

    Raises:
        PublishError: the run was not evaluated, or its ONNX answers otherwise than PyTorch.
    """
    from cxr_training.detector.publish import publish

    path = out / EVALUATION_FILE
    if not path.exists():
        raise PublishError(f"{path} is missing: run the step `evaluate` first")
    evaluation: dict[str, Any] = json.loads(path.read_text())
    run = {**read_run(out), "epochs_run": count_epochs(out)}
    manifest = publish(
        config if version is None else config.model_copy(update={"version": version}),
        models / config.name,
        run=run,
        weights=_weights(config, out),
        thresholds=[Threshold(**row) for row in evaluation["thresholds"]],
        metrics=[MetricRow.model_validate(row) for row in evaluation["metrics"]],
    )
    results.mkdir(parents=True, exist_ok=True)
    curves = results / f"curves_{config.name}.csv"
    shutil.copyfile(out / RESULTS, curves)
    # Anew: a run that was killed near its end has lines, and no picture.
    draw_curves(curves, curves.with_suffix(".png"))
    print(f"{models / config.name} {manifest.version}")


def run_fuse(models: Sequence[Path], sources: Sources, folder: Path, version: str) -> None:
    """Write a model that fuses the boxes of published `models`; raises as `fuse_published`."""
    from cxr_training.detector.fusing import fuse_published

    manifest = fuse_published(
        models,
        folder,
        sources.nih,
        sources.chestxdet,
        version=version,
        command=command_line(),
        commit=current_commit(),
    )
    for row in manifest.metrics:
        print(f"{row.name:12} {row.subset:24} {format_interval(row.result)}")


def run_judge(
    models: Sequence[Path],
    sources: Sources,
    results: Path,
    *,
    joining: Path,
    check: bool,
    resamples: int | None = None,
) -> None:
    """Measure the figures of published detectors again and put them side by side in `results`.

    Args:
        models: their folders.
        sources: the data.
        results: where to.
        joining: the folder of the joinings' results.
        check: fail where a manifest says otherwise.
        resamples: of the patients; None for as many as the manifests' figures have.

    Raises:
        DataError: the data is not as published.
        ModelFolderError: a folder is not what its manifest says.
        PublishError: `check`, and there is nothing to compare with, or something differs.
    """
    from cxr_training.detector.evaluation import RESAMPLES
    from cxr_training.detector.judging import comparison, judge, write_results
    from cxr_training.detector.judging.grounds import read_grounds

    grounds = read_grounds(sources.nih, sources.chestxdet)
    draws = RESAMPLES if resamples is None else resamples
    judgements = [
        judge(model, sources.nih, sources.chestxdet, grounds, check=check, resamples=draws)
        for model in models
    ]
    differences = {one.manifest.name: comparison(one) for one in judgements if one.is_comparable}
    write_results(judgements, results, differences, default=_default_among(models), joining=joining)
    for one in judgements:
        [mean] = [row for row in one.rows if (row.name, row.subset) == ("map50", "all")]
        print(f"{one.manifest.name}: map50 {format_interval(mean.result)}")
    sentences = [f"{name}: {said}" for name, all_ in differences.items() for said in all_]
    for sentence in sentences:
        print(sentence)
    if check and sentences:
        raise PublishError(
            f"{len(sentences)} figures are not those of their manifests: "
            f"{'; '.join(sentences[:_NAMED])}; {results}/README.md lists all"
        )


def _default_among(models: Sequence[Path]) -> str | None:
    """The name of the one that is served, if it is among them."""
    for model in models:
        folder = model.resolve()
        try:
            if choose_model(folder.parent) == folder:
                return folder.name
        except ModelFolderError:
            continue
    return None


def _weights(config: DetectorConfig, out: Path) -> Path:
    weights = out / "train" / f"{config.checkpoint}.safetensors"
    if not weights.exists():
        raise DataError(weights, "is missing: run the step `train` first")
    return weights
