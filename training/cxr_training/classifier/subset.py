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

    Patients with a class that has none yet come first, the rarest class before the others; then
    those with a class that has one, and so on; the rest in the order of their numbers. So every
    class stays, as far as the number of patients allows.
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
    rarest_first = np.argsort(has.sum(axis=0), kind="stable")
    for enough in range(1, _OF_EACH_CLASS + 1):
        for label in rarest_first:
            new = [int(one) for one in np.flatnonzero(has[:, label]) if int(one) not in chosen]
            if new and has[list(chosen), label].sum() < enough:
                chosen[new[0]] = None
    chosen |= dict.fromkeys(range(len(patients)))
    return [str(patients[patient]) for patient in list(chosen)[:n_patients]]
