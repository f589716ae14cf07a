"""torchxrayvision's networks: its labels, its thresholds and its grey values honoured.

Its DenseNet is timm's `densenet121` under the same names: batch norm and ReLU after the last
dense block, a mean over the cells, one linear layer. Its ResNet is timm's `resnet50`. So the
weights need neither the library nor code of their own to be served.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from cxr_contracts import Architecture, Finding, InputSpec
from cxr_training.importing.checkpoint import attribute, read_checkpoint, state_of
from cxr_training.importing.errors import ModelImportError
from cxr_training.importing.foreign import ForeignNetwork
from cxr_training.importing.labels import Output, read_labels
from cxr_training.importing.xrv_releases import DEFAULT_OUTPUTS, RELEASES, Release

# A buffer of the module that is no weight: its operating points.
_THRESHOLDS = "op_threshs"
_THRESHOLD_RULE = "torchxrayvision's operating point"
_PLAIN = Release(file="", data="", thresholds=(), names=())


@dataclass(frozen=True, slots=True)
class Named:
    """The outputs of a checkpoint and where their names came from."""

    outputs: list[Output]
    source: str


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
    own_thresholds = state.pop(_THRESHOLDS, None)
    release = _release(path, variant)
    if labels is not None:
        named = Named(read_labels(labels), str(labels))
    elif release is not _PLAIN and (variant is not None or _own_names(saved) is None):
        named = Named(_outputs(release.names, release.thresholds), f"{path} ({release.data})")
    else:
        named = _said_by_the_file(path, saved, state, own_thresholds)
    # In 0..1, less 0.5, divided by this: -1024 to 1024, exactly.
    spec = InputSpec(
        width_px=release.size_px,
        height_px=release.size_px,
        channels=1,
        canonical_px=None,
        mean=0.5,
        std=0.5 / 1024,
    )
    return ForeignNetwork(
        path=path,
        architecture=Architecture(library="timm", name=release.network, arguments={"in_chans": 1}),
        state=state,
        spec=spec,
        outputs=named.outputs,
        named_by=named.source,
        threshold_rule=_THRESHOLD_RULE if labels is None else f"from {labels.name}",
        data=release.data,
    )


def _release(path: Path, variant: str | None) -> Release:
    if variant is not None:
        return RELEASES[variant]
    for release in RELEASES.values():
        if release.file == path.name:
            return release
    return _PLAIN


def _own_names(saved: object) -> list[str] | None:
    for name in ("pathologies", "targets"):
        names = attribute(saved, name)
        if isinstance(names, list | tuple) and names:
            return [str(one) for one in names]
    return None


def _said_by_the_file(
    path: Path, saved: object, state: dict[str, Tensor], own_thresholds: Tensor | None
) -> Named:
    names = _own_names(saved)
    source = str(path)
    bias = state.get("classifier.bias")
    if names is None:
        if bias is None or len(bias) != len(DEFAULT_OUTPUTS):
            found = "no head" if bias is None else f"{len(bias)} outputs"
            raise ModelImportError(
                f"{path} has {found} and does not say what they mean: give --variant or --labels"
            )
        names = list(DEFAULT_OUTPUTS)
        source = f"{path} in torchxrayvision's own order of outputs"
        _refuse_untrained(path, names, bias)
    thresholds: list[float | None] = [None] * len(names)
    if own_thresholds is not None:
        values = own_thresholds.reshape(-1).tolist()
        if len(values) != len(names):
            raise ModelImportError(f"{path}: {len(values)} thresholds for {len(names)} outputs")
        thresholds = [None if np.isnan(value) else value for value in values]
    return Named(_outputs(names, thresholds), source)


def _refuse_untrained(path: Path, names: list[str], bias: Tensor) -> None:
    # A bias starts at zero, and an output without labels gets no gradient: it stays there.
    idle = [name for name, value in zip(names, bias.tolist(), strict=True) if value == 0.0]
    missing = [name for name in idle if name in {finding.value for finding in Finding}]
    if missing and len(idle) < len(names):
        raise ModelImportError(
            f"{path} was not trained on {', '.join(missing)} (the bias is still zero) and does "
            "not say what its outputs mean: give --variant or --labels"
        )


def _outputs(names: Sequence[str], thresholds: Sequence[float | None]) -> list[Output]:
    return [
        # The library compares in float32.
        Output(name, None if threshold is None else float(np.float32(threshold)))
        for name, threshold in zip(names, thresholds, strict=True)
    ]
