"""A box's score and the classifier's opinion of the same finding, rescored into one score.

The constants come from manifests that training wrote (`make fit-rescoring`), each for one classifier
and one detector. `docs/adr/0008-rescored-boxes.md` says why.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from cxr_contracts import (
    MANIFEST_NAME,
    ModelIdentity,
    Region,
    RegionRescoring,
    RescoringManifest,
)
from cxr_gateway.core.schemas import RescoringStatus, UsedRescoring

_LOG = logging.getLogger(__name__)
# Beyond these a logit says more of the rounding of an answer than of the radiograph.
_SMALLEST, _LARGEST = 1e-4, 1 - 1e-4
_OWN_SCORES = "the detector's own scores and thresholds decide"


class RescoringError(RuntimeError):
    """A rescoring cannot be used; the message is a sentence with the file."""


def logit(probability: ArrayLike) -> NDArray[np.float64]:
    """ln(p / (1 - p)) of probabilities 0..1, kept within ±9.2."""
    clipped = np.clip(np.asarray(probability, np.float64), _SMALLEST, _LARGEST)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def join(
    constants: RegionRescoring, score: ArrayLike, probability: ArrayLike
) -> NDArray[np.float64]:
    """The rescored scores of boxes of one kind, 0..1; rises with both.

    Args:
        constants: of the kind of box.
        score: the detector's, 0..1.
        probability: the classifier's of the same finding, 0..1; of no effect where
            `constants` weigh none.
    """
    z = constants.score_weight * logit(score) + constants.intercept
    if constants.probability_weight:
        z = z + constants.probability_weight * logit(probability)
    return np.asarray(1.0 / (1.0 + np.exp(-z)))


@dataclass(frozen=True)
class Rescoring:
    """A manifest, and the sha256 of its file, by which a study names it."""

    manifest: RescoringManifest
    sha256: str

    @cached_property
    def regions(self) -> Mapping[Region, RegionRescoring]:
        """The constants of each kind of box."""
        return {one.region: one for one in self.manifest.regions}

    @property
    def used(self) -> UsedRescoring:
        """As a study names it."""
        return UsedRescoring(name=self.manifest.name, sha256=self.sha256)

    def fits(self, classifier: ModelIdentity, detector: ModelIdentity) -> bool:
        """Whether it was fitted to the answers of these two networks."""
        return (self.manifest.classifier.sha256, self.manifest.detector.sha256) == (
            classifier.sha256,
            detector.sha256,
        )


class Rescorings:
    """All rescorings of an installation: at most one for each pair of networks."""

    def __init__(self, rescorings: Sequence[Rescoring]) -> None:
        self._rescorings = list(rescorings)
        self._missed: set[tuple[str, str]] = set()

    @property
    def min_score(self) -> float | None:
        """Down to which score boxes are asked for; None without a rescoring.

        Which detector will answer is known only once it has.
        """
        return min((one.manifest.min_score for one in self._rescorings), default=None)

    def of(
        self, classifier: ModelIdentity | None, detector: ModelIdentity | None
    ) -> Rescoring | None:
        """The rescoring for the two networks that answered.

        None if one of them is missing, or if none was fitted to them: the latter is logged when
        it first happens to a pair.
        """
        if classifier is None or detector is None:
            return None
        found = self._find(classifier, detector)
        pair = (classifier.sha256, detector.sha256)
        if found is None and self._rescorings and pair not in self._missed:
            self._missed.add(pair)
            _LOG.warning(
                "no rescoring for these models",
                extra={"classifier": _named(classifier), "detector": _named(detector)},
            )
        return found

    def status(
        self, classifier: ModelIdentity | None, detector: ModelIdentity | None
    ) -> RescoringStatus:
        """What holds for the networks that are there now."""
        if not self._rescorings:
            return RescoringStatus(in_use=None, detail=f"No rescoring is installed; {_OWN_SCORES}.")
        if classifier is None or detector is None:
            return RescoringStatus(in_use=None, detail=f"A reader does not answer; {_OWN_SCORES}.")
        found = self._find(classifier, detector)
        models = f"classifier {_named(classifier)} and detector {_named(detector)}"
        if found is None:
            detail = f"None of those installed was fitted to {models}; {_OWN_SCORES}."
            return RescoringStatus(in_use=None, detail=detail)
        return RescoringStatus(in_use=found.used, detail=f"Fitted to {models}.")

    def _find(self, classifier: ModelIdentity, detector: ModelIdentity) -> Rescoring | None:
        return next((one for one in self._rescorings if one.fits(classifier, detector)), None)


def load_rescorings(folder: Path) -> Rescorings:
    """Every `*/manifest.json` in `folder`; none in an empty one.

    Raises:
        RescoringError: no such folder, a manifest that is broken, or two for the same networks.
    """
    if not folder.is_dir():
        raise RescoringError(
            f"There is no folder of rescorings at {folder.resolve()}; an empty one would mean that "
            "the detector's own scores decide."
        )
    found: dict[tuple[str, str], Path] = {}
    rescorings = []
    for path in sorted(folder.glob(f"*/{MANIFEST_NAME}")):
        rescoring = _load(path)
        pair = rescoring.manifest.classifier.sha256, rescoring.manifest.detector.sha256
        if pair in found:
            raise RescoringError(f"{path} joins the same two networks as {found[pair]}.")
        found[pair] = path
        rescorings.append(rescoring)
    return Rescorings(rescorings)


def _load(path: Path) -> Rescoring:
    try:
        content = path.read_bytes()
        manifest = RescoringManifest.model_validate_json(content)
    except OSError as error:
        raise RescoringError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        reasons = "; ".join(
            f"{'.'.join(str(step) for step in item['loc']) or 'the file'}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise RescoringError(f"{path} is no rescoring: {reasons}.") from error
    return Rescoring(manifest, hashlib.sha256(content).hexdigest())


def _named(model: ModelIdentity) -> str:
    return f"{model.name} {model.version} ({model.sha256[:12]})"
