"""A checkpoint of one of timm's networks, from a file or from the Hugging Face hub."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm

from cxr_contracts import Architecture, InputSpec
from cxr_training.importing.checkpoint import read_checkpoint, state_of
from cxr_training.importing.errors import ModelImportError
from cxr_training.importing.foreign import ForeignNetwork, stem_channels
from cxr_training.importing.labels import Output, read_labels


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Size of the input, and mean and std of each channel after scaling to 0..1."""

    size_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a checkpoint beside its tensors; timm's `config.json` has these names."""

    architecture: str
    arguments: dict[str, Any] = field(default_factory=dict)
    configuration: dict[str, Any] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)


def read_description(path: Path) -> Description:
    """The `config.json` that timm puts beside weights on the hub.

    Raises:
        ModelImportError: it is not one.
    """
    try:
        raw = json.loads(path.read_text())
        configuration = dict(raw.get("pretrained_cfg") or {})
        return Description(
            architecture=str(raw["architecture"]),
            arguments=dict(raw.get("model_args") or {}),
            configuration=configuration,
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
    channels = stem_channels(description.architecture, state)
    if channels not in {1, 3}:
        raise ModelImportError(f"{path} takes images of {channels} channels; 1 or 3 can be served")
    known = _known(description)
    wanted = Normalisation(
        size_px=size_px or known.size_px,
        mean=_each_channel("mean", mean or known.mean, channels),
        std=_each_channel("std", std or known.std, channels),
    )
    if min(wanted.std) <= 0:
        raise ModelImportError(f"std {wanted.std}: a standard deviation is above zero")
    arguments = {**description.arguments, "in_chans": channels}
    if channels > 1:
        arguments |= {"channel_mean": list(wanted.mean), "channel_std": list(wanted.std)}
    return ForeignNetwork(
        path=path,
        architecture=Architecture(
            library="timm", name=description.architecture, arguments=arguments
        ),
        state=state,
        spec=_spec(wanted),
        outputs=_outputs(path, description, labels),
        named_by=str(labels or path),
        threshold_rule=f"from {labels.name}" if labels else "",
        data="",
    )


def _spec(wanted: Normalisation) -> InputSpec:
    # Several channels are normalised by the network, each by its own figures.
    grey = len(wanted.mean) == 1
    return InputSpec(
        width_px=wanted.size_px,
        height_px=wanted.size_px,
        channels=1,
        canonical_px=None,
        mean=wanted.mean[0] if grey else 0.0,
        std=wanted.std[0] if grey else 1.0,
    )


def _outputs(path: Path, description: Description, labels: Path | None) -> list[Output]:
    if labels is not None:
        return read_labels(labels)
    if not description.labels:
        raise ModelImportError(
            f"{path} does not say what its outputs mean: give --labels, a CSV with a column "
            "`label` and a row for each output"
        )
    return [Output(name) for name in description.labels]


def _known(description: Description) -> Normalisation:
    own = timm.get_pretrained_cfg(description.architecture)
    of_timm: Mapping[str, Any] = vars(own) if own is not None else {}

    def find(key: str) -> Any:
        value = description.configuration.get(key) or of_timm.get(key)
        if value is None:
            raise ModelImportError(
                f"timm knows no {key} of {description.architecture}: give --size, --mean and --std"
            )
        return value

    return Normalisation(
        size_px=int(find("input_size")[-1]), mean=tuple(find("mean")), std=tuple(find("std"))
    )


def _each_channel(name: str, values: Sequence[float], channels: int) -> tuple[float, ...]:
    if len(set(values)) == 1:
        return (float(values[0]),) * channels
    if len(values) != channels:
        raise ModelImportError(
            f"{name} {tuple(values)} has {len(values)} channels and the network {channels}: "
            f"give the --{name} that it was trained with"
        )
    return tuple(float(value) for value in values)
