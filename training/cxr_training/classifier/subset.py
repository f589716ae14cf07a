"""A few patients of each split with every class among them, to try the way through."""

from dataclasses import fields, replace
from typing import Any

import numpy as np

from cxr_training.classifier.samples import LABELS, Samples
from cxr_training.data.splits import Split

# Patients kept of each class before the others fill up.
_OF_EACH_CLASS = 3


def with_few_patients(samples: Samples, n_patients: int) -> Samples:
    """The samples of the first `n_patients` of the training and of the validation split.

    Those with a class that has too few yet come first, the rarest class before the others, each
    in the order of the patients' numbers; so every class stays, as far as the number allows.
    `patient_splits` still names all patients: it describes the data set.
    """
    kept = {
        patient
        for split in (Split.TRAIN, Split.VALIDATION)
        for patient in _first_patients(samples, split, n_patients)
    }
    return taken(samples, np.flatnonzero(np.isin(samples.patients, sorted(kept))))


def taken(samples: Samples, rows: np.ndarray[Any, np.dtype[np.intp]]) -> Samples:
    """Some rows of the samples, as samples."""
    columns: dict[str, Any] = {}
    for column in fields(samples):
        value = getattr(samples, column.name)
        if isinstance(value, np.ndarray):
            columns[column.name] = value[rows]
        elif isinstance(value, tuple):
            columns[column.name] = tuple(value[row] for row in rows)
    return replace(samples, **columns)


def _first_patients(samples: Samples, split: Split, n_patients: int) -> list[str]:
    rows = samples.rows(split)
    patients, owner = np.unique(samples.patients[rows], return_inverse=True)
    has = np.zeros((len(patients), len(LABELS)), dtype=bool)
    np.logical_or.at(has, owner, samples.targets[rows] > 0)
    chosen: dict[int, None] = {}
    for label in np.argsort(has.sum(axis=0), kind="stable"):
        already = sum(bool(has[patient, label]) for patient in chosen)
        wanted = np.flatnonzero(has[:, label])
        new = [int(patient) for patient in wanted if int(patient) not in chosen]
        chosen |= dict.fromkeys(new[: max(0, _OF_EACH_CLASS - already)])
    chosen |= dict.fromkeys(range(len(patients)))
    return [str(patients[patient]) for patient in list(chosen)[:n_patients]]
