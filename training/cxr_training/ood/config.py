"""The recipe of an out-of-distribution detector."""

from pydantic import Field

from cxr_training.core.config import Section

# The first is the radiograph; the order is the order of the network's outputs.
KINDS = ("frontal_chest", "inverted", "upside_down", "turned_left", "turned_right", "other")
KIND_REASONS = {
    "inverted": "It looks like an inverted radiograph (bone dark, lungs bright).",
    "upside_down": "It looks like a radiograph that stands upside down.",
    "turned_left": "It looks like a radiograph turned by 90 degrees to the left.",
    "turned_right": "It looks like a radiograph turned by 90 degrees to the right.",
}


class Shares(Section):
    """How much of a batch each kind fills; `other` takes the rest."""

    frontal_chest: float = Field(gt=0, lt=1)
    inverted: float = Field(gt=0, lt=1)
    upside_down: float = Field(gt=0, lt=1)
    turned_left: float = Field(gt=0, lt=1)
    turned_right: float = Field(gt=0, lt=1)

    def counts(self, batch: int) -> dict[str, int]:
        """Images of each kind in a batch of `batch`."""
        counts = {kind: round(getattr(self, kind) * batch) for kind in KINDS[:-1]}
        return counts | {KINDS[-1]: batch - sum(counts.values())}


class OodConfig(Section):
    """Everything that decides what comes out of a training run, besides the data."""

    seed: int
    canonical_px: int = Field(gt=0, multiple_of=16)
    cache_px: int = Field(gt=0)
    channels: tuple[int, int, int, int]
    features: int = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)
    steps: int = Field(gt=0)
    batch: int = Field(ge=16)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=1)
    shares: Shares
    n_procedural: int = Field(gt=0)
    n_photograph_crops: int = Field(gt=0)
    calibration_percent: int = Field(gt=0, lt=100)
    target_false_refusal: float = Field(gt=0, lt=0.5)
