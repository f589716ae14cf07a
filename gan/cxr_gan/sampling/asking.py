"""Which findings each image is asked for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxr_contracts import NO_FINDING
from cxr_gan.errors import GanError
from cxr_training.data.collection import read_collection
from cxr_training.data.radiographs import parse_findings
from cxr_training.data.splits import Split

Findings = frozenset[str]


def findings_named(text: str) -> Findings:
    """The set of a field like `Mass|Effusion` or `No Finding`; GanError for another name."""
    try:
        return frozenset(finding.value for finding in parse_findings(text))
    except ValueError as error:
        raise GanError(f"--label {text}: {error}") from error


def field_of(findings: Findings) -> str:
    """As the manifest's field `findings` writes a set."""
    return "|".join(sorted(findings)) or NO_FINDING


def training_findings(data: Path, labels: Sequence[str]) -> list[Findings]:
    """The findings of each training radiograph under `data`, those among `labels` alone.

    Raises:
        DataError: what the readers refuse.
    """
    collection = read_collection(nih_of(data))
    return [
        frozenset(finding.value for finding in image.findings) & frozenset(labels)
        for image in collection.images
        if collection.splits[image.patient] is Split.TRAIN and not image.synthetic
    ]


def nih_of(data: Path) -> Path:
    """NIH's folder: `data`/nih where there is one, else `data`."""
    return data / "nih" if (data / "nih").is_dir() else data


def drawn_like(findings: Sequence[Findings], n: int, seed: int) -> list[Findings]:
    """`n` of the sets, with replacement, so that combinations keep their frequencies too."""
    if not findings:
        raise GanError("there is no training radiograph to take label frequencies from")
    order = np.random.default_rng((seed, 1)).integers(len(findings), size=n)
    return [findings[index] for index in order]


def shuffled(findings: Sequence[Findings], seed: int) -> list[Findings]:
    """The same sets in another order: the control in which labels tell nothing."""
    order = np.random.default_rng((seed, 2)).permutation(len(findings))
    return [findings[index] for index in order]
