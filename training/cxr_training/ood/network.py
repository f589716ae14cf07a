"""The recipe and the network: small convolutions, kinds of image, and a one-class distance."""

import torch
from pydantic import Field
from torch import Tensor, nn

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


class OodNetwork(nn.Module):
    """Tells a frontal chest radiograph from everything else.

    Two scores have to agree: a softmax over kinds that were trained, and the Mahalanobis distance
    of the penultimate features from those of radiographs (Lee et al., NeurIPS 2018), which also
    grows for kinds that nobody thought of. Their logits are merged by a soft minimum.
    """

    centre: Tensor
    whitening: Tensor
    distance_offset: Tensor
    distance_slope: Tensor

    def __init__(self, config: OodConfig) -> None:
        super().__init__()
        channels, features = config.channels, config.features
        layers: list[nn.Module] = []
        for before, after in zip((1, *channels[:-1]), channels, strict=True):
            layers += [
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.backbone = nn.Sequential(*layers)
        grid = config.canonical_px // 2 ** len(channels)
        # Flattened, not pooled: where the heart lies is what tells up from down.
        self.neck = nn.Sequential(
            nn.Flatten(), nn.Dropout(config.dropout), nn.Linear(channels[-1] * grid**2, features)
        )
        self.head = nn.Sequential(
            nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(features, len(KINDS))
        )
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("whitening", torch.zeros(features, features))
        self.register_buffer("distance_offset", torch.tensor(1.0))
        self.register_buffer("distance_slope", torch.tensor(1.0))
        self.register_load_state_dict_pre_hook(_rename_backbone)  # type: ignore[no-untyped-call]

    def features(self, image: Tensor) -> Tensor:
        """Penultimate features [N, features] of images [N, 1, side, side] in 0..1."""
        mean = image.mean(dim=(1, 2, 3), keepdim=True)
        variance = (image - mean).square().mean(dim=(1, 2, 3), keepdim=True)
        # Standardised image by image: exposure and window tell nothing about the kind.
        standardised = (image - mean) / torch.sqrt(variance + 1e-4)
        features: Tensor = self.neck(self.backbone(standardised))
        return features

    def kinds(self, features: Tensor) -> Tensor:
        """Logits of the kinds [N, kinds]; the first is the radiograph."""
        logits: Tensor = self.head(features)
        return logits

    def distance(self, features: Tensor) -> Tensor:
        """Mahalanobis distance [N] from the features of radiographs, per root of dimension."""
        white = (features - self.centre) @ self.whitening
        return torch.sqrt(white.square().mean(dim=1) + 1e-6)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The radiograph's logit [N], and the probabilities of the kinds [N, kinds]."""
        features = self.features(image)
        logits = self.kinds(features)
        by_kind = logits[:, 0] - torch.logsumexp(logits[:, 1:], dim=1)
        by_distance = self.distance_slope * (self.distance_offset - self.distance(features))
        merged = -torch.logsumexp(torch.stack([-by_kind, -by_distance], dim=1), dim=1)
        return merged, logits.softmax(dim=1)


def _rename_backbone(_: nn.Module, state: dict[str, Tensor], *__: object) -> None:
    """Weights of version 1 call the backbone `trunk`."""
    for name in [name for name in state if name.startswith("trunk.")]:
        state[f"backbone.{name.removeprefix('trunk.')}"] = state.pop(name)
