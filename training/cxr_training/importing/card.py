"""MODEL_CARD.md of imported weights, made from the manifest alone."""

from cxr_contracts import LabelSpec, ModelManifest
from cxr_training.report.tables import markdown_table

_LIMITS = """\
- Nothing was measured here. Measure it on radiographs of your own, with labels, before anybody
  reads its answers: `python -m cxr_training.classifier judge --model {folder} --data DATA`.
- Choose patients that it was not trained on. Weights that saw NIH ChestX-ray14 may have seen the
  very patients that are validation or test patients here; on those its figures flatter it.
- An image is stretched to a square of {side} px, as NIH's were. Where the network was trained on
  images cropped to a square, a film that is not square looks wider or narrower to it.
- Probabilities are as well calibrated as the weights make them, and for their prevalence.
- A class activation map shows where the evidence lies on a coarse grid; it is not a contour."""


def imported_card(manifest: ModelManifest) -> str:
    """The card, in Markdown."""
    spec = manifest.input
    parts = [
        f"# {manifest.name}, version {manifest.version}",
        "**For research use. Not a medical device; not for diagnosis.**",
        f"Imported weights: a classifier of {len(manifest.labels)} findings on frontal chest "
        f"radiographs, `{manifest.architecture.name}` ({manifest.architecture.library}) at "
        f"{spec.width_px} x {spec.height_px} px. They were trained elsewhere; this card says "
        "what came with them and no more. "
        f"Licence of the weights: {manifest.licence}. Imported {manifest.created_at}.",
        "## Where it comes from",
        markdown_table(
            ["", "as imported"],
            [[name, f"`{value}`"] for name, value in manifest.extra["imported"].items() if value],
        ),
        f"Trained on: {'; '.join(manifest.data.sources)}.",
        "## What was kept",
        f"{manifest.extra['calibration']} A finding is positive from its threshold on; the "
        "network's answers are those of the weights as given, to a difference of 0.0001.",
        _dropped(manifest),
        markdown_table(["finding", "threshold"], [_line(label) for label in manifest.labels]),
        "## Grey values",
        _grey_values(manifest),
        "## Limits",
        _LIMITS.format(folder=f"models/classifier/{manifest.name}", side=spec.width_px),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _dropped(manifest: ModelManifest) -> str:
    dropped = manifest.extra["dropped"]
    if not dropped:
        return ""
    return f"Outputs that are none of the fourteen findings were dropped: {', '.join(dropped)}."


def _line(label: LabelSpec) -> list[str]:
    return [label.name, f"{label.threshold:.6f} ({label.threshold_rule})"]


def _grey_values(manifest: ModelManifest) -> str:
    arguments = manifest.architecture.arguments
    if "channel_mean" in arguments:
        return (
            "Scaled to 0..1 and repeated in every channel; less "
            f"{arguments['channel_mean']}, divided by {arguments['channel_std']}."
        )
    low = -manifest.input.mean / manifest.input.std
    high = (1 - manifest.input.mean) / manifest.input.std
    return f"Black arrives as {low:.6g}, white as {high:.6g}."
