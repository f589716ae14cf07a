"""A card's first screen: what the model is, how good it is, where it fails; test figures first."""

from pathlib import Path

from cxr_contracts import Interval, MetricRow, ModelManifest
from cxr_training.report.card import Headline, headline_table, model_card

MANIFEST = Path(__file__).parents[3] / "models/ood/ood-cxr/manifest.json"
HEADLINES = (Headline("missed", "miss_rate", percent=True), Headline("AUROC", "auroc"))


def row(name: str, split: str, value: float) -> MetricRow:
    result = Interval(value=value, low=value - 0.01, high=value + 0.0004)
    return MetricRow(name=name, subset="all", split=split, result=result, n=7, n_positive=None)


def test_test_patients_stand_first_and_validation_beside() -> None:
    metrics = [row("auroc", "validation", 0.8), row("auroc", "test", 0.9996)]
    metrics.append(row("miss_rate", "validation", 0.125))
    lines = headline_table(metrics, HEADLINES).splitlines()
    assert lines[0].split(" | ")[1:] == ["test patients", "validation patients |"]
    assert lines[2:] == [
        "| missed | not measured | 12.5% (11.5% to 12.5%), 7 images |",
        "| AUROC | 0.9996 (0.9896 to 1.0000), 7 images | 0.800 (0.790 to 0.800), 7 images |",
    ]


def test_a_model_that_nobody_measured_says_so() -> None:
    assert headline_table([], HEADLINES) == "Nothing was measured yet."


def test_the_first_screen_comes_before_the_details() -> None:
    manifest = ModelManifest.model_validate_json(MANIFEST.read_text())
    card = model_card(
        manifest,
        what="Refuses.",
        headlines=HEADLINES,
        fails=["At night."],
        sections={"Details": "Small.", "Empty": ""},
    )
    places = [
        card.index(text) for text in ("Not a medical", "Refuses.", "good it is", "- At night.")
    ]
    assert places == sorted(places)
    assert card.index("## Details") > places[-1]
    assert "Empty" not in card
