"""A reference made of films: histograms by quantiles, counts of words."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxr_contracts import (
    CATEGORIES,
    NUMBERS,
    STATISTICS,
    CategoryReference,
    DriftReference,
    ModelManifest,
    NumberReference,
    ReferenceData,
    StatisticReference,
)
from cxr_gateway.drift.film import UNKNOWN_VIEW
from cxr_gateway.drift.psi import counts_in, quantile_edges
from cxr_serving.model_folder import identity_of
from cxr_training.core.runs import current_commit, utc_now
from cxr_training.drift.films import ReadFilm

BINS = 10
COMMAND = "make drift-reference"


def reference_of(
    films: Sequence[ReadFilm],
    gate: ModelManifest,
    classifier: ModelManifest,
    split: tuple[str, str],
) -> DriftReference:
    """The reference of these films, read by these two networks.

    Args:
        films: of the validation patients.
        gate: the manifest of the gate that judged them.
        classifier: that of the classifier that read those which the gate accepted.
        split: name and sha256 of the split that they are of.
    """
    accepted = [film for film in films if film.accepted]
    return DriftReference(
        schema_version=1,
        role="reference",
        name=f"{gate.name}--{classifier.name}",
        created_at=utc_now(),
        licence=classifier.licence,
        gate=identity_of(gate),
        classifier=identity_of(classifier),
        data=ReferenceData(
            split=split[0],
            split_sha256=split[1],
            n_images=len(films),
            n_accepted=len(accepted),
            n_patients=len({film.patient for film in films}),
        ),
        command=COMMAND,
        commit=current_commit(),
        statistics=[
            # The gate's score is held against all films, what else there is against chest films.
            _statistic(name, films if name == "gate_score" else accepted)
            for name in STATISTICS
        ],
    )


def _statistic(name: str, films: Sequence[ReadFilm]) -> StatisticReference:
    if name in CATEGORIES:
        said = [getattr(film, name) for film in films]
        words = [word for word in said if word != UNKNOWN_VIEW]
        categories = sorted(set(words))
        counts = [words.count(word) for word in categories]
        return CategoryReference(kind="category", name=name, categories=categories, counts=counts)
    values = _values(name, films)
    edges = quantile_edges(values, BINS)
    counts = counts_in(values, edges)
    return NumberReference(kind="number", name=name, edges=edges, counts=counts)


def _values(name: str, films: Sequence[ReadFilm]) -> NDArray[np.float64]:
    column = NUMBERS.index(name)
    return np.array([film.numbers[column] for film in films], dtype=np.float64)
