"""Where the class activation maps of a model folder point: the join with `localisation`."""

import os
from collections.abc import Iterable
from pathlib import Path

from cxr_contracts import MetricRow
from cxr_serving.model_folder import ModelFolder
from cxr_training.classifier.localisation import (
    boxed_training,
    boxed_validation,
    judge_localisation,
)
from cxr_training.classifier.tables import is_map_figure


def map_rows(folder: ModelFolder, data: Path) -> list[MetricRow]:
    """Every figure of the maps; none where nobody drew a box for the data's patients.

    Args:
        folder: the model.
        data: holds `nih/` and, where it is to be judged on, `chestx-det/`.

    Raises:
        DataError: what the readers of the boxes refuse.
        ModelFolderError: the model cannot be loaded.
    """
    if not (boxed_training(data) and boxed_validation(data)):
        return []
    return judge_localisation(folder, data, threads=len(os.sched_getaffinity(0)))


def of_maps(rows: Iterable[MetricRow]) -> list[MetricRow]:
    """Those of the rows that `map_rows` made."""
    return [row for row in rows if is_map_figure(row)]
