"""Whose weights they are: torchxrayvision's, EVA-X's or timm's, with labels, thresholds and greys.

torchxrayvision's DenseNet is timm's `densenet121` under the same names: batch norm and ReLU after
the last dense block, a mean over the cells, one linear layer. Its ResNet is timm's `resnet50`. So
its weights need neither the library nor code of their own to be served.

EVA-X (Yao et al., MIT licence): three sizes of a vision transformer, timm's EVA under other names,
that its authors fine-tuned on ChestX-ray14; the names are timm's own function's to translate. Which
size it is and for which image, the tensors say. So do the rotary positions: the authors' training
code registers its base network twice, and the second time with positions of another grid, so what
the file carries is what the network learnt with.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import yaml
from timm.models.eva import checkpoint_filter_fn
from torch import Tensor

from cxr_contracts import Architecture, Finding, InputSpec
from cxr_training.importing import ModelImportError
from cxr_training.importing.checkpoints import attribute, read_checkpoint, state_of
from cxr_training.importing.networks import ForeignNetwork, Output, read_labels

_EVA_X_FOLDER = "https://huggingface.co/MapleF/eva_x/resolve/main/"
_PATCH_PX = 16
# Of the authors' evaluation, in each of three equal channels.
_EVA_X_MEAN, _EVA_X_STD = 0.49185243, 0.28509309
_EVA_X_DATA = (
    "pre-trained without labels on 520,000 public chest radiographs (NIH ChestX-ray14, CheXpert, "
    "MIMIC-CXR); fine-tuned on NIH ChestX-ray14's official training list"
)


@dataclass(frozen=True, slots=True)
class Size:
    """One of the sizes: the width of its tokens, and timm's network but for the patches."""

    width: int
    network: str


SIZES = {
    "tiny": Size(192, "eva02_tiny_patch14_224"),
    "small": Size(384, "eva02_small_patch14_224"),
    "base": Size(768, "eva02_base_patch14_224"),
}


def release_urls(kind: str) -> dict[str, str]:
    """Where the files of `torchxrayvision` or `eva-x` lie, by variant."""
    if kind == "torchxrayvision":
        return {variant: release.url for variant, release in xrv_releases().items()}
    name = "eva_x_{}_patch16_merged520k_mim_cxr14_ft.pth"
    return {variant: _EVA_X_FOLDER + name.format(variant) for variant in SIZES}


def read_eva_x(path: Path, labels: Path | None = None) -> ForeignNetwork:
    """A fine-tuned checkpoint of any of `SIZES`.

    Without `labels` the fourteen outputs are those of ChestX-ray14 in the authors' order, which
    is ours.

    Raises:
        DataError: `labels` is not as `read_labels` wants it.
        ModelImportError: see `read_checkpoint`; it is no EVA-X, was not fine-tuned, or has
            another number of outputs and no labels.
    """
    state = state_of(read_checkpoint(path), path)
    size, grid = _size_of(state, path)
    if "head.weight" not in state:
        raise ModelImportError(
            f"{path} was pre-trained and has no outputs yet: give the file that was fine-tuned on "
            "ChestX-ray14 (its name ends in cxr14_ft.pth)"
        )
    n_outputs = len(state["head.weight"])
    if labels is None and n_outputs != len(Finding):
        raise ModelImportError(f"{path} has {n_outputs} outputs: say with --labels what they mean")
    arguments: dict[str, Any] = {
        "patch_size": _PATCH_PX,
        "img_size": grid * _PATCH_PX,
        "ref_feat_shape": [_reference_grid(state, grid, path)] * 2,
        "in_chans": 3,
        "channel_mean": [_EVA_X_MEAN] * 3,
        "channel_std": [_EVA_X_STD] * 3,
    }
    ours = {key: value for key, value in arguments.items() if not key.startswith("channel_")}
    with torch.device("meta"):  # for the shapes alone
        network = timm.create_model(size.network, num_classes=n_outputs, **ours)
    return ForeignNetwork(
        path=path,
        architecture=Architecture(library="timm", name=size.network, arguments=arguments),
        state=checkpoint_filter_fn(state, network),
        spec=square_input(grid * _PATCH_PX),
        outputs=read_labels(labels) if labels else [Output(finding.value) for finding in Finding],
        named_by=str(labels or path),
        threshold_rule=f"from {labels.name}" if labels else "",
        data=_EVA_X_DATA,
        licence="MIT",
    )


def _size_of(state: Mapping[str, Tensor], path: Path) -> tuple[Size, int]:
    """Which size it is, and patches a side of its image."""
    token, positions = state.get("cls_token"), state.get("pos_embed")
    patches = state.get("patch_embed.proj.weight")
    if token is not None and positions is not None and patches is not None:
        sizes = [size for size in SIZES.values() if size.width == token.shape[-1]]
        grid = math.isqrt(positions.shape[1] - 1)
        if sizes and patches.shape[-1] == _PATCH_PX and grid**2 == positions.shape[1] - 1:
            return sizes[0], grid
    raise ModelImportError(f"{path} is none of EVA-X's networks ({', '.join(SIZES)})")


def _reference_grid(state: Mapping[str, Tensor], grid: int, path: Path) -> int:
    """Patches a side of the grid whose positions the network learnt with.

    In the file stands the cosine of each patch's angles. The first angle across is the column
    times reference grid over grid.
    """
    cosines = [value for name, value in state.items() if name.endswith("rope.freqs_cos")]
    if not cosines:
        return grid  # as the authors load a file without them
    second_column = cosines[0][1]
    found = grid * math.acos(float(second_column[len(second_column) // 2].clamp(-1, 1)))
    if abs(found - round(found)) > 1e-2:
        raise ModelImportError(f"{path}: its rotary positions are of no grid ({found:.3f})")
    return round(found)


_RELEASES = Path(__file__).parent / "xrv_releases.yaml"


@dataclass(frozen=True, slots=True)
class Release:
    """A file of weights that torchxrayvision publishes; `outputs` in the order of its head.

    An output that was not trained has an empty label, or no threshold, or neither.
    """

    file: str
    url: str
    data: str
    licence: str
    outputs: tuple[Output, ...]
    network: str = "densenet121"
    size_px: int = 224


_UNKNOWN = Release(file="", url="", data="", licence="", outputs=())


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a timm checkpoint beside its tensors, as timm's `config.json` has it."""

    architecture: str
    arguments: dict[str, Any] = field(default_factory=dict)
    configuration: dict[str, Any] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)


@cache
def xrv_releases() -> dict[str, Release]:
    """The releases of torchxrayvision by variant."""
    table = yaml.safe_load(_RELEASES.read_text())
    releases = {}
    for variant, facts in table["releases"].items():
        thresholds = facts.pop("thresholds")
        # The ResNet names outputs that it gives no threshold; a DenseNet names what it learnt.
        names = [
            name if threshold is not None or "network" in facts else ""
            for name, threshold in zip(table["outputs"], thresholds, strict=True)
        ]
        releases[variant] = Release(
            **facts,
            url=table["folder"] + facts["file"],
            licence=table["licence"],
            outputs=tuple(_float32_outputs(names, thresholds)),
        )
    return releases


@cache
def xrv_outputs() -> tuple[str, ...]:
    """The order of the outputs wherever the library says nothing else."""
    return tuple(yaml.safe_load(_RELEASES.read_text())["outputs"])


def read_xrv(path: Path, variant: str | None = None, labels: Path | None = None) -> ForeignNetwork:
    """A checkpoint of torchxrayvision: a whole module as it is released, or a state dict.

    What an output means is said by `labels`, else by `variant`, else by the module itself, else
    by the name of a released file; else it is the library's own order.

    Raises:
        DataError: `labels` is not as `read_labels` wants it.
        ModelImportError: see `read_checkpoint`; or nothing says what the outputs mean.
    """
    saved = read_checkpoint(path)
    state = state_of(saved, path)
    # A buffer of the module that is no weight: its operating points.
    thresholds = state.pop("op_threshs", None)
    releases = xrv_releases()
    by_file = {release.file: release for release in releases.values()}
    release = by_file.get(path.name, _UNKNOWN) if variant is None else releases[variant]
    own_names = _own_names(saved)
    if labels is not None:
        outputs, source = read_labels(labels), str(labels)
    elif release is not _UNKNOWN and (variant is not None or own_names is None):
        outputs, source = list(release.outputs), f"{path} ({release.data})"
    elif own_names is not None:
        outputs, source = _with_thresholds(path, own_names, thresholds), str(path)
    else:
        names = _default_names(path, state.get("classifier.bias"))
        source = f"{path} in torchxrayvision's own order of outputs"
        outputs = _with_thresholds(path, names, thresholds)
    # In 0..1, less 0.5, divided by this: -1024 to 1024, exactly.
    spec = square_input(release.size_px, mean=0.5, std=0.5 / 1024)
    return ForeignNetwork(
        path=path,
        architecture=Architecture(library="timm", name=release.network, arguments={"in_chans": 1}),
        state=state,
        spec=spec,
        outputs=outputs,
        named_by=source,
        threshold_rule=f"from {labels.name}" if labels else "torchxrayvision's operating point",
        data=release.data,
        licence=release.licence,
    )


def read_description(path: Path) -> Description:
    """What timm's `config.json` beside weights on the hub says; ModelImportError if it is none."""
    try:
        raw = json.loads(path.read_text())
        return Description(
            architecture=str(raw["architecture"]),
            arguments=dict(raw.get("model_args") or {}),
            configuration=dict(raw.get("pretrained_cfg") or {}),
            labels=[str(name) for name in raw.get("label_names", ())],
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelImportError(f"{path} is not a configuration that timm wrote: {error}") from error


def read_timm(
    path: Path,
    description: Description,
    *,
    labels: Path | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size_px: int | None = None,
) -> ForeignNetwork:
    """A timm checkpoint: safetensors, a state dict, or what timm's training script saves.

    Args:
        path: the weights.
        description: which network they fill.
        labels: the outputs in their order, see `read_labels`; else the description names them.
        mean: one figure, or one a channel; else that of the description, else timm's own.
        std: as `mean`.
        size_px: side of the input; else that of the description, else timm's own.

    Raises:
        DataError: `labels` is not as `read_labels` wants it.
        ModelImportError: see `read_checkpoint`; or labels, size or normalisation are not known.
    """
    state = state_of(read_checkpoint(path), path)
    name = description.architecture
    if not timm.is_model(name):
        raise ModelImportError(f"timm has no model {name!r}")
    timms_own = timm.get_pretrained_cfg(name)
    said = {key: value for key, value in description.configuration.items() if value}
    known: dict[str, Any] = dict(timms_own.to_dict() if timms_own else {}) | said  # type: ignore[no-untyped-call]
    channels = _stem_channels(path, state, known.get("first_conv"), name)
    if not size_px and not known.get("input_size"):
        raise ModelImportError(f"timm knows no input size of {name}: give --size")
    means, stds = each_channel(mean or known.get("mean"), std or known.get("std"), channels)
    arguments = {**description.arguments, "in_chans": channels}
    if channels > 1:
        # Several channels are normalised by the network, each by its own figures.
        arguments |= {"channel_mean": list(means), "channel_std": list(stds)}
        means, stds = (0.0,), (1.0,)
    if size_px and known.get("fixed_input_size"):
        # A transformer is built for one size; its weights have a position for each patch.
        arguments["img_size"] = size_px
    if labels is None and not description.labels:
        raise ModelImportError(
            f"{path} does not say what its outputs mean: give --labels, a CSV with a column "
            "`label` and a row for each output"
        )
    return ForeignNetwork(
        path=path,
        architecture=Architecture(library="timm", name=name, arguments=arguments),
        state=state,
        spec=square_input(size_px or int(known["input_size"][-1]), mean=means[0], std=stds[0]),
        outputs=read_labels(labels) if labels else [Output(one) for one in description.labels],
        named_by=str(labels or path),
        threshold_rule=f"from {labels.name}" if labels else "",
        data="",
        licence=str(said.get("license", "")),
    )


def square_input(size_px: int, *, mean: float = 0.0, std: float = 1.0) -> InputSpec:
    """One grey channel of `size_px` a side; normalised by the network unless figures are given."""
    return InputSpec(
        width_px=size_px, height_px=size_px, channels=1, canonical_px=None, mean=mean, std=std
    )


def _own_names(saved: object) -> list[str] | None:
    for name in ("pathologies", "targets"):
        names = attribute(saved, name)
        if isinstance(names, list | tuple) and names:
            return [str(one) for one in names]
    return None


def _default_names(path: Path, bias: Tensor | None) -> list[str]:
    names = list(xrv_outputs())
    if bias is None or len(bias) != len(names):
        found = "no head" if bias is None else f"{len(bias)} outputs"
        raise ModelImportError(
            f"{path} has {found} and does not say what they mean: give --variant or --labels"
        )
    # A bias starts at zero, and an output without labels gets no gradient: it stays there.
    idle = [name for name, value in zip(names, bias.tolist(), strict=True) if value == 0.0]
    missing = [name for name in idle if name in {finding.value for finding in Finding}]
    if missing and len(idle) < len(names):
        raise ModelImportError(
            f"{path} was not trained on {', '.join(missing)} (the bias is still zero) and does "
            "not say what its outputs mean: give --variant or --labels"
        )
    return names


def _with_thresholds(path: Path, names: list[str], thresholds: Tensor | None) -> list[Output]:
    values = [float("nan")] * len(names) if thresholds is None else thresholds.flatten().tolist()
    if len(values) != len(names):
        raise ModelImportError(f"{path}: {len(values)} thresholds for {len(names)} outputs")
    return _float32_outputs(names, [None if np.isnan(value) else value for value in values])


def _float32_outputs(names: Sequence[str], thresholds: Sequence[float | None]) -> list[Output]:
    # The library compares in float32.
    return [
        Output(name, None if threshold is None else float(np.float32(threshold)))
        for name, threshold in zip(names, thresholds, strict=True)
    ]


def _stem_channels(path: Path, state: dict[str, Tensor], first_conv: Any, network: str) -> int:
    """How many channels the first convolution takes: 1 or 3."""
    stem = first_conv[0] if isinstance(first_conv, tuple | list) else first_conv
    weight = state.get(f"{stem}.weight")
    if weight is None or weight.ndim < 2:
        raise ModelImportError(f"{path} is not of {network}: it has no {stem}.weight")
    channels = int(weight.shape[1])
    if channels not in {1, 3}:
        raise ModelImportError(f"{path} takes images of {channels} channels; 1 or 3 can be served")
    return channels


def each_channel(
    mean: Sequence[float] | None, std: Sequence[float] | None, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel; ModelImportError where they do not fit."""
    means, stds = _of_channels("mean", mean, channels), _of_channels("std", std, channels)
    if min(stds) <= 0:
        raise ModelImportError(f"std {stds}: a standard deviation is above zero")
    return means, stds


def _of_channels(name: str, values: Sequence[float] | None, channels: int) -> tuple[float, ...]:
    if not values or (len(set(values)) > 1 and len(values) != channels):
        found = f"{len(values)} values" if values else "none"
        raise ModelImportError(
            f"{name}: {found} for {channels} channels: give the --{name} it was trained with"
        )
    return tuple(float(values[i % len(values)]) for i in range(channels))
