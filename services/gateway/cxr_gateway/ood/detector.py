"""The decision: score, threshold, and a sentence for the sender of a refused picture."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr_contracts import ModelManifest
from cxr_gateway.ood.canonical import canonical
from cxr_gateway.ood.loading import GateModel, load_model
from cxr_gateway.ood.rules import refuse_blank, refuse_shape


@dataclass(frozen=True, slots=True)
class OodScore:
    """How like a frontal chest radiograph a picture is, 0..1, and what follows from it."""

    accepted: bool
    score: float
    threshold: float
    reason: str | None


class Gate:
    """Judges pictures; may be shared between threads (it keeps no state between calls)."""

    def __init__(self, model: GateModel) -> None:
        self._model = model

    @property
    def manifest(self) -> ModelManifest:
        """Name, version and weights' sha256 of the network in use, for the answer."""
        return self._model.manifest

    def check(self, grey: NDArray[np.uint8]) -> OodScore:
        """Judge one picture.

        Args:
            grey: uint8 [H, W] of any size, as a reader would see it (white is bright).

        Raises:
            ValueError: not two-dimensional, empty, or not uint8.
        """
        picture = canonical(grey, self._model.manifest.input.width_px)
        rules = self._model.extra.rules
        plain = refuse_shape(grey.shape[0], grey.shape[1], rules) or refuse_blank(picture, rules)
        if plain is not None:
            return OodScore(False, 0.0, self._model.label.threshold, plain)
        logits, kinds = self._model.run(picture[None])
        return self._decide(float(logits[0]), kinds[0])

    def _decide(self, logit: float, kinds: NDArray[np.float32]) -> OodScore:
        label = self._model.label
        score = _sigmoid(label.slope * logit + label.intercept)
        if score >= label.threshold:
            return OodScore(True, score, label.threshold, None)
        return OodScore(False, score, label.threshold, self._reason(score, kinds))

    def _reason(self, score: float, kinds: NDArray[np.float32]) -> str:
        threshold = self._model.label.threshold
        # Never rounded up to the threshold that it missed.
        shown = math.floor(score * 100) / 100
        reason = (
            "The picture does not look like a frontal chest radiograph "
            f"(score {shown:.2f}, needed {threshold:.2f})."
        )
        likely = int(kinds.argmax())
        hint = self._model.extra.kind_reasons.get(self._model.extra.kinds[likely])
        if hint is not None and float(kinds[likely]) > 0.5:
            return f"{reason} {hint}"
        return reason


def load_ood_detector(model_dir: Path) -> Gate:
    """The gate of a published model folder, checked against its manifest and warmed.

    Raises:
        OodModelError: a missing, altered or contradictory file.
    """
    model = load_model(model_dir)
    gate = Gate(model)
    side = model.manifest.input.width_px
    gradient = np.linspace(0, 255, side * side, dtype=np.uint8).reshape(side, side)
    gate.check(gradient)
    return gate


def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, value))))
