"""A foreign network becomes a classifier's folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_contracts import DataSpec, ModelManifest, TrainingSpec
from cxr_training.classifier.export import export
from cxr_training.core.files import sha256_of
from cxr_training.core.runs import current_commit, utc_now
from cxr_training.data.splits import split_sha256
from cxr_training.export.publishing import (
    CARD_NAME,
    ONNX_NAME,
    WEIGHTS_NAME,
    model_file,
    write_manifest,
)
from cxr_training.importing.card import imported_card
from cxr_training.importing.folder import staged, target_of
from cxr_training.importing.foreign import Adopted, ForeignNetwork, adopt
from cxr_training.importing.trial import probes, try_out

NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asks of the new model, and says of the weights."""

    name: str
    version: str
    models: Path
    force: bool
    command: str
    licence: str = NOT_STATED
    trained_on: str = NOT_STATED


def publish_foreign(foreign: ForeignNetwork, wanted: Wanted, origin: dict[str, Any]) -> Path:
    """Write `models/classifier/<name>/` and try it as the service would; the model folder.

    Args:
        foreign: the weights and what the file says of them.
        wanted: name, version and place.
        origin: where the weights came from, for the manifest and the card.

    Raises:
        ModelImportError: the weights are not fit to be served, or the folder is there already.
        PublishError: ONNX Runtime and PyTorch differ.
    """
    target = target_of(wanted.models, "classifier", wanted.name, force=wanted.force)
    adopted = adopt(foreign)
    with staged(target) as folder:
        export(adopted.network, folder, probes(foreign.spec))
        manifest = _manifest(foreign, adopted, wanted, origin, folder)
        write_manifest(manifest, folder)
        (folder / CARD_NAME).write_text(imported_card(manifest))
        try_out(folder)
    return target


def _manifest(
    foreign: ForeignNetwork,
    adopted: Adopted,
    wanted: Wanted,
    origin: dict[str, Any],
    folder: Path,
) -> ModelManifest:
    labels = adopted.selection.labels
    calibrated = any((label.slope, label.intercept) != (1.0, 0.0) for label in labels)
    return ModelManifest(
        schema_version=1,
        role="classifier",
        name=wanted.name,
        version=wanted.version,
        created_at=utc_now(),
        licence=wanted.licence,
        architecture=foreign.architecture,
        input=foreign.spec,
        labels=labels,
        weights=model_file(folder / WEIGHTS_NAME),
        onnx=model_file(folder / ONNX_NAME),
        extra={
            "imported": {**origin, "sha256": sha256_of(foreign.path)},
            "outputs": [output.name for output in foreign.outputs],
            "dropped": adopted.selection.dropped,
            "calibration": "Slope and intercept as given with the weights."
            if calibrated
            else "None: the sigmoid of the network's own logit.",
            "threshold": labels[0].threshold_rule,
        },
        # No patient of its training was placed by us: the split is the empty one.
        data=DataSpec(
            sources=[wanted.trained_on], split_sha256=split_sha256({}), n_train=0, n_validation=0
        ),
        training=TrainingSpec(command=wanted.command, commit=current_commit(), recipe={}),
        metrics=[],
    )
