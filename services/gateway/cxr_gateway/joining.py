"""A box's score and the classifier's opinion of the same finding, joined into one score.

The constants come from manifests that training wrote (`make fit-joining`), each for one classifier
and one detector. `docs/adr/0008-joined-boxes.md` says why.
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
    JoiningManifest,
    ModelIdentity,
    Region,
    RegionJoining,
)
from cxr_gateway.schemas import JoiningStatus, UsedJoining

_LOG = logging.getLogger(__name__)
# Beyond these a logit says more of the rounding of an answer than of the radiograph.
_SMALLEST, _LARGEST = 1e-4, 1 - 1e-4
_OWN_SCORES = "the detector's own scores and thresholds decide"


class JoiningError(RuntimeError):
    """A joining cannot be used; the message is a sentence with the file."""


def logit(probability: ArrayLike) -> NDArray[np.float64]:
    """ln(p / (1 - p)) of probabilities 0..1, kept within ±9.2."""
    clipped = np.clip(np.asarray(probability, np.float64), _SMALLEST, _LARGEST)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def join(constants: RegionJoining, score: ArrayLike, probability: ArrayLike) -> NDArray[np.float64]:
    """The joined scores of boxes of one kind, 0..1; rises with both.

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
class Joining:
    """A manifest, and the sha256 of its file, by which a study names it."""

    manifest: JoiningManifest
    sha256: str

    @cached_property
    def regions(self) -> Mapping[Region, RegionJoining]:
        """The constants of each kind of box."""
        return {one.region: one for one in self.manifest.regions}

    @property
    def used(self) -> UsedJoining:
        """As a study names it."""
        return UsedJoining(name=self.manifest.name, sha256=self.sha256)

    def fits(self, classifier: ModelIdentity, detector: ModelIdentity) -> bool:
        """Whether it was fitted to the answers of these two networks."""
        return (self.manifest.classifier.sha256, self.manifest.detector.sha256) == (
            classifier.sha256,
            detector.sha256,
        )


class Joinings:
    """All joinings of an installation: at most one for each pair of networks."""

    def __init__(self, joinings: Sequence[Joining]) -> None:
        self._joinings = list(joinings)
        self._missed: set[tuple[str, str]] = set()

    @property
    def min_score(self) -> float | None:
        """Down to which score boxes are asked for; None without a joining.

        Which detector will answer is known only once it has.
        """
        return min((one.manifest.min_score for one in self._joinings), default=None)

    def of(
        self, classifier: ModelIdentity | None, detector: ModelIdentity | None
    ) -> Joining | None:
        """The joining for the two networks that answered.

        None if one of them is missing, or if none was fitted to them: the latter is logged when
        it first happens to a pair.
        """
        if classifier is None or detector is None:
            return None
        found = self._find(classifier, detector)
        pair = (classifier.sha256, detector.sha256)
        if found is None and self._joinings and pair not in self._missed:
            self._missed.add(pair)
            _LOG.warning(
                "no joining for these models",
                extra={"classifier": _named(classifier), "detector": _named(detector)},
            )
        return found

    def status(
        self, classifier: ModelIdentity | None, detector: ModelIdentity | None
    ) -> JoiningStatus:
        """What holds for the networks that are there now."""
        if not self._joinings:
            return JoiningStatus(in_use=None, detail=f"No joining is installed; {_OWN_SCORES}.")
        if classifier is None or detector is None:
            return JoiningStatus(in_use=None, detail=f"A reader does not answer; {_OWN_SCORES}.")
        found = self._find(classifier, detector)
        models = f"classifier {_named(classifier)} and detector {_named(detector)}"
        if found is None:
            detail = f"None of those installed was fitted to {models}; {_OWN_SCORES}."
            return JoiningStatus(in_use=None, detail=detail)
        return JoiningStatus(in_use=found.used, detail=f"Fitted to {models}.")

    def _find(self, classifier: ModelIdentity, detector: ModelIdentity) -> Joining | None:
        return next((one for one in self._joinings if one.fits(classifier, detector)), None)


def load_joinings(folder: Path) -> Joinings:
    """Every `*/manifest.json` in `folder`; none in an empty one.

    Raises:
        JoiningError: no such folder, a manifest that is broken, or two for the same networks.
    """
    if not folder.is_dir():
        raise JoiningError(
            f"There is no folder of joinings at {folder.resolve()}; an empty one would mean that "
            "the detector's own scores decide."
        )
    found: dict[tuple[str, str], Path] = {}
    joinings = []
    for path in sorted(folder.glob(f"*/{MANIFEST_NAME}")):
        joining = _load(path)
        pair = joining.manifest.classifier.sha256, joining.manifest.detector.sha256
        if pair in found:
            raise JoiningError(f"{path} joins the same two networks as {found[pair]}.")
        found[pair] = path
        joinings.append(joining)
    return Joinings(joinings)


def _load(path: Path) -> Joining:
    try:
        content = path.read_bytes()
        manifest = JoiningManifest.model_validate_json(content)
    except OSError as error:
        raise JoiningError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        reasons = "; ".join(
            f"{'.'.join(str(step) for step in item['loc']) or 'the file'}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise JoiningError(f"{path} is no joining: {reasons}.") from error
    return Joining(manifest, hashlib.sha256(content).hexdigest())


def _named(model: ModelIdentity) -> str:
    return f"{model.name} {model.version} ({model.sha256[:12]})"
