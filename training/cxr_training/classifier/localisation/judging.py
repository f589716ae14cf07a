"""A published classifier's maps, run as they are served, judged on validation patients."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxr_classifier.calibration import Calibration, ClassifierOutput
from cxr_classifier.preprocessing import preprocess
from cxr_contracts import MetricRow
from cxr_serving.model_folder import ModelFolder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.classifier.localisation.boxes import Case, boxed_training, boxed_validation
from cxr_training.classifier.localisation.fitting import fit
from cxr_training.classifier.localisation.maps import Maps
from cxr_training.classifier.localisation.rows import localisation_rows
from cxr_training.classifier.samples import LABELS
from cxr_training.data.errors import DataError
from cxr_training.data.pixels import decode_grey

_BATCH = 16


def judge_localisation(folder: ModelFolder, data: Path, *, threads: int = 1) -> list[MetricRow]:
    """Every figure of the model in `folder` on the boxed radiographs under `data`.

    Raises:
        DataError: what `boxed_training` raises; nothing boxed on training or validation patients;
            a radiograph that cannot be decoded.
        ModelFolderError: ONNX Runtime cannot load the model.
    """
    training, validation = boxed_training(data), boxed_validation(data)
    for name, cases in (("training", training), ("validation", validation)):
        if not cases:
            raise DataError(data, f"no box of any finding on a {name} patient's radiograph")
    runtime = OnnxRuntime(folder.onnx(), threads=threads)
    fitted = fit(read_maps(folder, runtime, training), training)
    return localisation_rows(read_maps(folder, runtime, validation), validation, fitted)


def read_maps(folder: ModelFolder, runtime: OnnxRuntime, cases: Sequence[Case]) -> Maps:
    """What the model says of the radiographs of `cases`, each once."""
    calibration = Calibration(folder.manifest.labels)
    columns = [calibration.findings.index(label) for label in LABELS]
    paths = {case.name: case.path for case in cases}
    names = tuple(sorted(paths))
    cams, called = [], []
    for start in range(0, len(names), _BATCH):
        images = [
            preprocess(decode_grey(paths[name]), folder.manifest.input)
            for name in names[start : start + _BATCH]
        ]
        for logits, maps in zip(*runtime.run(np.stack(images)), strict=True):
            # The service's own word: it rounds before it compares.
            findings, _ = ClassifierOutput(calibration, logits, maps).findings_and_cams(explain=0)
            positive = {row.finding for row in findings if row.positive}
            called.append([label in positive for label in LABELS])
            cams.append(maps[columns])
    return Maps(names, np.array(cams, dtype=np.float32), np.array(called, dtype=bool))
