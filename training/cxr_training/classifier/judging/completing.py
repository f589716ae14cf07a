"""A published model's manifest and card, completed by figures that it was published without."""

from pathlib import Path

from cxr_training.classifier.card import model_card
from cxr_training.classifier.judging.judge import (
    Judgement,
    JudgementError,
    contradictions,
    unpublished,
)
from cxr_training.export.publishing import CARD_NAME, write_manifest


def complete(model: Path, judgement: Judgement) -> int:
    """Write what the manifest of the folder `model` lacks into it, and its card anew; how much.

    What stands in the manifest stays as it is: figures, calibration, thresholds and weights.

    Raises:
        JudgementError: something of it is not what was measured; nothing was written.
    """
    if differences := contradictions(judgement):
        raise JudgementError(
            f"the figures of {model} are not those of its manifest, so none are added: "
            f"{differences[0]}"
        )
    lacking = unpublished(judgement)
    metrics = [*judgement.manifest.metrics, *lacking]
    manifest = judgement.manifest.model_copy(update={"metrics": metrics})
    write_manifest(manifest, model)
    (model / CARD_NAME).write_text(model_card(manifest))
    return len(lacking)
