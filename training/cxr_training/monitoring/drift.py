"""The reference of drift: how validation patients' images are distributed, seen by the services."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cxr_classifier.predictor import ClassifierPredictor, load_predictor
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import (
    CATEGORIES,
    NUMBERS,
    REFERENCE_NAME,
    STATISTICS,
    CategoryReference,
    DriftReference,
    Finding,
    FindingProbability,
    ModelManifest,
    NumberReference,
    ReferenceData,
    StatisticReference,
)
from cxr_gateway.core.image_numbers import UNKNOWN_VIEW, numbers_of, view_of
from cxr_gateway.core.schemas import OodResult
from cxr_gateway.drift.psi import counts_in, quantile_edges
from cxr_gateway.imaging import Limits, read_upload
from cxr_gateway.imaging.statistics import measure
from cxr_gateway.ood import OodDetector, load_ood_detector
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import identity_of
from cxr_training.core.runs import current_commit, utc_now
from cxr_training.data.nih import read_boxed
from cxr_training.data.pixels import upload_of
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import NIH_FOLDER, Split, split_sha256

_BINS = 10


@dataclass(frozen=True, slots=True)
class ObservedImage:
    """What the gateway would keep of an image; `numbers` in the order of `NUMBERS`.

    Those of findings are None where the image was not accepted.
    """

    patient: str
    accepted: bool
    source: str
    view: str
    numbers: list[float | None]


def reference(options: Namespace) -> int:
    """`cxr drift reference`: of validation patients, by the published models."""
    boxed = read_boxed(options.data / NIH_FOLDER)
    detector = load_ood_detector(options.ood)
    predictor = load_predictor(ClassifierSettings(model_dir=options.classifier))
    images = tqdm(boxed.of(Split.VALIDATION), desc="drift reference", mininterval=5.0)
    observed = [observe(image, detector, predictor) for image in images]
    patients = Split.VALIDATION.value, split_sha256(boxed.splits)
    made = reference_of(observed, detector.manifest, predictor.manifest, patients)
    print(f"Wrote {_written(made, options.out)}.")
    return 0


def _written(made: DriftReference, references: Path) -> Path:
    path = references / made.name / REFERENCE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(made.model_dump_json(indent=1) + "\n")
    return path


def write_site_reference(
    images: Sequence[Radiograph],
    split: tuple[str, str],
    classifier: Path,
    models: Path,
    *,
    command: str,
) -> list[str]:
    """Write the reference of a site's images below `models`; what came of it, a line each.

    One that is there is set aside, and not removed.

    Args:
        images: of patients whom the classifier has not learned from.
        split: its name and sha256.
        classifier: its folder.
        models: holds `ood/`, whose detector sees them, too, and `reference/`.
        command: by which it can be made again.

    Raises:
        DataError: an image cannot be decoded.
        ModelFolderError: a folder holds no such model.
    """
    found = sorted((models / "ood").glob("*/manifest.json"))
    if not found:
        return [f"Drift: no OOD detector in {models / 'ood'}, so no reference was written."]
    detector = load_ood_detector(found[0].parent)
    predictor = load_predictor(ClassifierSettings(model_dir=classifier, runtime="onnxruntime"))
    observed = [observe(image, detector, predictor) for image in images]
    refused = sum(not one.accepted for one in observed)
    said = []
    if refused:
        said.append(
            f"{detector.manifest.name} refuses {refused} of {len(images)} {split[0]} images as no "
            "frontal chest radiograph; the gateway would answer nothing for such."
        )
    if refused == len(images):
        return [*said, "Drift: no image is left to write a reference of."]
    made = reference_of(observed, detector.manifest, predictor.manifest, split, command=command)
    path = models / "reference" / made.name / REFERENCE_NAME
    if path.exists():
        path.rename(path.with_name(f"{REFERENCE_NAME}.set-aside"))
    _written(made, models / "reference")
    return [*said, f"Drift: {path}, of {made.data.n_accepted} {split[0]} images."]


def observe(
    image: Radiograph, detector: OodDetector, classifier: ClassifierPredictor
) -> ObservedImage:
    """The image as decoding, OOD detector and classifier see it; the view is the data set's word.

    The files hold none, where a hospital's DICOM files do.
    """
    content = upload_of(image.path)
    # The data sets hold small copies of the radiographs, which the services do not refuse either.
    decoded = read_upload(content, limits=Limits(min_side_px=1))
    score = detector.check(decoded.grey)
    accepted = score.accepted and decoded.refused is None
    findings: list[FindingProbability] = []
    if accepted:
        (output,) = classifier.predict([classifier.prepare(DecodedImage(decoded.grey, "png"))])
        findings, _ = output.findings_and_cams(0)
    result = OodResult(
        accepted=accepted, score=score.score, threshold=score.threshold, reason=score.reason
    )
    numbers = numbers_of(decoded.metadata, result, measure(decoded.grey), findings)
    source = decoded.metadata.source.value
    return ObservedImage(image.patient, accepted, source, view_of(image.view), numbers)


def reference_of(
    observed: Sequence[ObservedImage],
    ood: ModelManifest,
    classifier: ModelManifest,
    split: tuple[str, str],
    *,
    command: str = "make drift-reference",
) -> DriftReference:
    """The reference of these images, observed by these two models.

    Args:
        observed: of the validation patients.
        ood: the manifest of the OOD detector.
        classifier: that of the classifier, which saw the images that were accepted.
        split: name and sha256 of the split that they are of.
        command: by which it can be made again.
    """
    accepted = [image for image in observed if image.accepted]
    known = {label.name for label in classifier.labels}
    return DriftReference(
        schema_version=1,
        role="reference",
        name=f"{ood.name}--{classifier.name}",
        created_at=utc_now(),
        licence=classifier.licence,
        ood=identity_of(ood),
        classifier=identity_of(classifier),
        data=ReferenceData(
            split=split[0],
            split_sha256=split[1],
            n_images=len(observed),
            n_accepted=len(accepted),
            n_patients=len({image.patient for image in observed}),
        ),
        command=command,
        commit=current_commit(),
        statistics=[
            # The OOD score is of all images, what else there is of chest radiographs.
            _statistic(name, observed if name == "ood_score" else accepted)
            for name in STATISTICS
            if name not in set(Finding) - known
            and (name not in CATEGORIES or {getattr(x, name) for x in accepted} - {UNKNOWN_VIEW})
        ],
    )


def _statistic(name: str, images: Sequence[ObservedImage]) -> StatisticReference:
    if name in CATEGORIES:
        words = [getattr(image, name) for image in images]
        categories = sorted(set(words) - {UNKNOWN_VIEW})
        counts = [words.count(word) for word in categories]
        return CategoryReference(kind="category", name=name, categories=categories, counts=counts)
    column = NUMBERS.index(name)
    values: NDArray[np.float64] = np.array([one.numbers[column] for one in images], np.float64)
    edges = quantile_edges(values, _BINS)
    return NumberReference(kind="number", name=name, edges=edges, counts=counts_in(values, edges))
