"""The classifier's network in PyTorch; imports torch and timm, so import it only where they are.

A timm backbone whose linear head is applied to every cell of its last feature map. The mean over
the cells is the logit, so the class activation map (Zhou et al., CVPR 2016) costs nothing more
and needs no gradient. The cells of a vision transformer are its patches: see `TokenNetwork`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from cxr_contracts import Architecture

Classifier = TypeVar("Classifier", bound="CamClassifier")
# What older published weights call the buffer `mean_normal_cam`; their bytes stay as they are.
_FORMER_BUFFER_NAME = "usual_map"


class GreyToColour(nn.Module):
    """A grey image [N, 1, H, W] in every channel, each normalised by its own mean and std."""

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        # Of the architecture, not of the weights.
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """[N, C, H, W]."""
        return (image - cast(Tensor, self.mean)) / cast(Tensor, self.std)


class CamClassifier(nn.Module, ABC):
    """Image to logits and class activation maps, by a linear head over a feature map."""

    def __init__(
        self, *, mirrored: bool = False, mean_normal_cam: tuple[int, int, int] | None = None
    ) -> None:
        """Of any network.

        Args:
            mirrored: in evaluation, the mean with what it says of the mirror image.
            mean_normal_cam: the shape [L, h, w] of the buffer of that name, the mean map of
                radiographs without the finding, which is subtracted from every map in
                evaluation. Its mean over the cells is zero, so that a map's mean stays the logit.
        """
        super().__init__()
        self.mirrored = mirrored
        self.mean_normal_cam: Tensor | None
        self.register_buffer(
            "mean_normal_cam", None if mean_normal_cam is None else torch.zeros(mean_normal_cam)
        )

    @abstractmethod
    def features(self, image: Tensor) -> Tensor:
        """The last feature map [N, d, h, w] of normalised images [N, C, H, W]."""

    @abstractmethod
    def linear(self) -> tuple[Tensor, Tensor]:
        """Weight [L, d] and bias [L] from features to labels."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, L] and maps [N, L, h, w] of normalised images [N, C, H, W].

        The mean of a map over its cells is the logit of its label.
        """
        logits, cams = self._logits_and_cams(image)
        if self.training:
            return logits, cams
        if self.mirrored:
            mirror_logits, mirror_cams = self._logits_and_cams(image.flip(3))
            logits, cams = (logits + mirror_logits) / 2, (cams + mirror_cams.flip(3)) / 2
        return logits, cams if self.mean_normal_cam is None else cams - self.mean_normal_cam

    def _logits_and_cams(self, image: Tensor) -> tuple[Tensor, Tensor]:
        weight, bias = self.linear()
        cams = functional.conv2d(self.features(image), weight[:, :, None, None], bias)
        return cams.mean(dim=(2, 3)), cams


class CamNetwork(CamClassifier):
    """One backbone and its own head."""

    def __init__(
        self,
        backbone: nn.Module,
        *,
        mirrored: bool = False,
        mean_normal_cam: tuple[int, int, int] | None = None,
        colour: nn.Module | None = None,
    ) -> None:
        """Around `backbone`.

        Args:
            backbone: with a linear head over a feature map.
            mirrored: see `CamClassifier`.
            mean_normal_cam: see `CamClassifier`.
            colour: makes of the grey image what a backbone for colour images was trained on.
        """
        super().__init__(mirrored=mirrored, mean_normal_cam=mean_normal_cam)
        self.backbone = backbone
        self.as_trained = colour or nn.Identity()

    def features(self, image: Tensor) -> Tensor:
        """[N, d, h, w]; in training some channels are dropped."""
        image = self.as_trained(image)
        features = cast(Tensor, self.backbone.forward_features(image))  # type: ignore[operator]
        # Whole channels are dropped, which is what dropout after the pooling would do.
        rate = float(getattr(self.backbone, "drop_rate", 0.0))
        return functional.dropout2d(features, rate, self.training)

    def linear(self) -> tuple[Tensor, Tensor]:
        """Those of the backbone's head."""
        return self.head.weight, self.head.bias

    @property
    def head(self) -> nn.Linear:
        """The linear layer from features to labels."""
        return cast(nn.Linear, self.backbone.get_classifier())  # type: ignore[operator]


class TokenNetwork(CamNetwork):
    """A vision transformer and its own head; a cell of a map is a patch, and needs no gradient.

    Where the head sees the mean of the patches' tokens, a map is exact: the norm between them is
    linear but for one standard deviation, that of the mean, so each patch's share of the logit
    follows. Where it sees the class token, a map is what the head would say of each patch's own
    token in that place, shifted so that its mean is the logit.
    """

    def __init__(self, backbone: nn.Module, *, colour: nn.Module | None = None) -> None:
        """Around `backbone`; the rest as in `CamNetwork`.

        Raises:
            ValueError: it pools its tokens in another way, or has another norm before its head.
        """
        super().__init__(backbone, colour=colour)
        pool = getattr(backbone, "global_pool", None)
        norm = getattr(backbone, "fc_norm", None)
        odd = getattr(backbone, "attn_pool", None), getattr(backbone, "head_dist", None)
        with_prefix = pool == "avg" and getattr(backbone, "pool_include_prefix", False)
        if pool not in ("avg", "token") or any(one is not None for one in odd) or with_prefix:
            raise ValueError(f"its head sees neither the mean of its patches nor a token ({pool})")
        if not isinstance(norm, nn.LayerNorm | nn.Identity):
            raise ValueError(f"the norm before its head is a {type(norm).__name__}")
        self._pools = pool == "avg"
        patches: Any = backbone.patch_embed
        self._grid: tuple[int, int] = patches.grid_size
        self._n_before = int(cast(int, backbone.num_prefix_tokens))

    def features(self, image: Tensor) -> Tensor:
        """[N, d, h, w], as the head would see each patch."""
        return self._of_patches(self._tokens(image))

    def _tokens(self, image: Tensor) -> Tensor:
        """[N, T, d], the class token and its like before those of the patches."""
        image = self.as_trained(image)
        return cast(Tensor, self.backbone.forward_features(image))  # type: ignore[operator]

    def _of_patches(self, tokens: Tensor) -> Tensor:
        patches = tokens[:, self._n_before :]
        # Not an attribute: its weights would stand in the state twice.
        norm = self.backbone.fc_norm
        if self._pools and isinstance(norm, nn.LayerNorm):
            # (token - its mean) / (standard deviation of the mean token): over the patches, the
            # mean of this is the norm of the mean token.
            spread = patches.mean(dim=1).var(dim=-1, unbiased=False) + norm.eps
            patches = patches - patches.mean(dim=-1, keepdim=True)
            patches = patches * spread.rsqrt()[:, None, None] * norm.weight + norm.bias
        else:
            patches = cast(nn.Module, norm)(patches)
        return patches.transpose(1, 2).reshape(patches.shape[0], patches.shape[2], *self._grid)

    def _logits_and_cams(self, image: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self._tokens(image)
        logits = cast(Tensor, self.backbone.forward_head(tokens))  # type: ignore[operator]
        weight, bias = self.linear()
        cams = functional.conv2d(self._of_patches(tokens), weight[:, :, None, None], bias)
        if not self._pools:
            cams = cams + (logits - cams.mean(dim=(2, 3)))[:, :, None, None]
        return logits, cams


class CamEnsemble(CamClassifier):
    """The mean of several networks' logits and maps.

    A mean of linear heads is one linear head over all feature maps side by side.
    """

    def __init__(
        self,
        members: list[CamNetwork],
        *,
        mirrored: bool = False,
        mean_normal_cam: tuple[int, int, int] | None = None,
    ) -> None:
        """Of `members`, which are of one architecture; the rest as in `CamClassifier`."""
        super().__init__(mirrored=mirrored, mean_normal_cam=mean_normal_cam)
        self.members = nn.ModuleList(members)

    def features(self, image: Tensor) -> Tensor:
        """[N, members * d, h, w]."""
        return torch.cat([member.features(image) for member in self._networks()], dim=1)

    def linear(self) -> tuple[Tensor, Tensor]:
        """[L, members * d] and [L]."""
        weights, biases = zip(*(member.linear() for member in self._networks()), strict=True)
        return torch.cat(weights, dim=1) / len(weights), torch.stack(biases).mean(dim=0)

    def _networks(self) -> list[CamNetwork]:
        return [cast(CamNetwork, member) for member in self.members]


def build_network(architecture: Architecture, n_labels: int) -> CamClassifier:
    """The network of a manifest, its weights still random.

    Args:
        architecture: of library `timm`; `arguments` as in `build_member`, and three of the whole.
            `mirrored` and `mean_normal_cam`, the latter as [h, w]: see `CamClassifier`. `members`:
            the mean of so many networks is the output, see `CamEnsemble`.
        n_labels: outputs of the linear head.

    Raises:
        ValueError: fewer than one member, and as in `build_member`.
    """
    arguments = dict(architecture.arguments)
    members = arguments.pop("members", 1)
    if not isinstance(members, int) or members < 1:
        raise ValueError(f"architecture argument members={members!r}: a whole number from 1 on")
    if members == 1:
        return build_member(architecture.model_copy(update={"arguments": arguments}), n_labels)
    mirrored = bool(arguments.pop("mirrored", False))
    cells = arguments.pop("mean_normal_cam", None)
    each = architecture.model_copy(update={"arguments": arguments})
    networks = [build_member(each, n_labels) for _ in range(members)]
    if any(isinstance(network, TokenNetwork) for network in networks):
        raise ValueError("the mean of several networks: of vision transformers it is not known")
    return CamEnsemble(
        networks,
        mirrored=mirrored,
        mean_normal_cam=None if cells is None else (n_labels, *cells),
    )


def build_member(architecture: Architecture, n_labels: int) -> CamNetwork:
    """A network of one backbone: what is trained or imported, alone or as one of several.

    Args:
        architecture: of library `timm`; `arguments` go to `timm.create_model`, but for five of
            our own, of which a vision transformer takes the last two alone. `dilated`: false
            undoes the dilation by which timm pays for an `output_stride`; the map is as fine, the
            convolutions are a fifth faster, and the receptive field stays that of the small image.
            `mirrored` and `mean_normal_cam`, the latter as [h, w]: see `CamClassifier`.
            `channel_mean` and `channel_std`, together: those of `GreyToColour`, for a backbone
            with three input channels.
        n_labels: outputs of the linear head.

    Raises:
        ValueError: another library, an unknown model, a model without a linear head over a
            feature map, or a vision transformer that `TokenNetwork` does not know.
    """
    if architecture.library != "timm":
        raise ValueError(f"architecture library {architecture.library!r}: only 'timm' is known")
    if not timm.is_model(architecture.name):
        raise ValueError(f"timm has no model {architecture.name!r}")
    arguments = dict(architecture.arguments)
    dilated = arguments.pop("dilated", True)
    mirrored = bool(arguments.pop("mirrored", False))
    cells = arguments.pop("mean_normal_cam", None)
    channel_mean = arguments.pop("channel_mean", None)
    channel_std = arguments.pop("channel_std", None)
    backbone = timm.create_model(
        architecture.name, pretrained=False, num_classes=n_labels, **arguments
    )
    if not dilated:
        _undo_dilation(backbone)
    colour = None if channel_mean is None else GreyToColour(channel_mean, channel_std)
    network = (
        TokenNetwork(backbone, colour=colour)
        if _is_transformer(backbone)
        else CamNetwork(
            backbone,
            mirrored=mirrored,
            mean_normal_cam=None if cells is None else (n_labels, *cells),
            colour=colour,
        )
    )
    if not isinstance(network.head, nn.Linear):
        raise ValueError(f"{architecture.name!r} has no linear head to apply to its feature map")
    return network


def _is_transformer(backbone: nn.Module) -> bool:
    """Whether its features are tokens of patches, as those of timm's ViT and EVA are."""
    patches = getattr(backbone, "patch_embed", None)
    return hasattr(backbone, "num_prefix_tokens") and hasattr(patches, "grid_size")


def _undo_dilation(backbone: nn.Module) -> None:
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d) and module.dilation != (1, 1):
            padding = cast(tuple[int, int], module.padding)
            rows, columns = module.dilation
            module.padding = (padding[0] // rows, padding[1] // columns)
            module.dilation = (1, 1)


def ensemble_state(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors that fill the network of these members, in their order; of one, its own."""
    if len(states) == 1:
        return dict(states[0])
    return {
        f"members.{index}.{name}": tensor
        for index, state in enumerate(states)
        for name, tensor in state.items()
    }


def load_weights(network: Classifier, state: dict[str, Tensor]) -> Classifier:
    """Fill `network` with the tensors of `weights.safetensors` and set it to evaluation.

    Raises:
        RuntimeError: a tensor is missing, surplus or of another shape.
    """
    if _FORMER_BUFFER_NAME in state:
        state = {**state, "mean_normal_cam": state[_FORMER_BUFFER_NAME]}
        del state[_FORMER_BUFFER_NAME]
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False)
