"""The reference of drift, made of radiographs as the services would read them."""

from pathlib import Path

import numpy as np
import pytest

from cxr_classifier.predictor import load_predictor
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import NUMBERS, DriftReference
from cxr_gateway.ood import load_ood_detector
from cxr_training.cli import main
from cxr_training.data.radiographs import Radiograph
from cxr_training.monitoring.drift import ObservedImage, observe, reference_of
from support.images import encoded, radiograph_like

OOD = Path(__file__).parents[3] / "models/ood/ood-cxr"


def an_image(number: int, *, accepted: bool = True, view: str = "PA") -> ObservedImage:
    numbers: list[float | None] = [float(number)] * len(NUMBERS)
    return ObservedImage(str(number // 2), accepted, "png", view, numbers)


def test_ood_scores_are_of_all_radiographs_and_the_rest_of_chest_radiographs(
    classifier_folder: Path,
) -> None:
    ood = load_ood_detector(OOD).manifest
    classifier = load_predictor(ClassifierSettings(model_dir=classifier_folder)).manifest
    images = [an_image(number, view="AP" if number < 5 else "PA") for number in range(20)]
    images += [an_image(number, accepted=False) for number in range(20, 24)]
    reference = reference_of(images, ood, classifier, ("validation", "0" * 64))
    counts = {one.name: one.counts for one in reference.statistics}
    assert sum(counts["ood_score"]) == 24
    assert counts["Mass"] == [2] * 10
    assert counts["view"] == [5, 15]
    data = reference.data
    assert (data.n_images, data.n_accepted, data.n_patients) == (24, 20, 12)
    assert reference.models == (ood.weights.sha256, classifier.weights.sha256)
    assert DriftReference.model_validate_json(reference.model_dump_json()) == reference


def test_an_image_is_read_as_the_services_read_it(classifier_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "radiograph.png"
    path.write_bytes(encoded(np.ascontiguousarray(radiograph_like(80, 90))))
    image = Radiograph("radiograph.png", path, "7", frozenset(), -1, "", "AP")
    classifier = load_predictor(ClassifierSettings(model_dir=classifier_folder))
    radiograph = observe(image, load_ood_detector(OOD), classifier)
    known = dict(zip(NUMBERS, radiograph.numbers, strict=True))
    assert (known["width"], known["height"], radiograph.source, radiograph.view) == (
        80,
        90,
        "png",
        "AP",
    )
    # An image that the OOD detector refuses is not read by the classifier, here as in the gateway.
    assert (known["Mass"] is None) == (not radiograph.accepted)


def test_what_cannot_be_read_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["drift", "reference", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    )
    assert capsys.readouterr().err.startswith("drift: ")
    assert not (tmp_path / "out").exists()
