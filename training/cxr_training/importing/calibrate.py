"""`cxr models calibrate`: a classifier is fitted to a site's own labelled radiographs.

Its network stays as it is. Calibration (slope and intercept), evidence levels and their figures
are those of the site's patients, cross-fitted; where a detector is given, so is the triage model of
the two.
"""

import json
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cxr_classifier.predictor import load_predictor as load_classifier
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import (
    MANIFEST_NAME,
    Finding,
    LabelSpec,
    ModelIdentity,
    ModelManifest,
    TriageManifest,
)
from cxr_detector.loading import load_predictor as load_detector
from cxr_detector.settings import DetectorSettings
from cxr_gateway.analysis.triage import IMMEDIATE, SAME_DAY
from cxr_serving.model_folder import identity_of, open_model_folder
from cxr_training.classifier.calibration import (
    CALIBRATION_METHOD,
    LEVELS_METHOD,
    fitted_decisions,
    fitted_levels,
    with_levels,
)
from cxr_training.classifier.card import classifier_card
from cxr_training.classifier.evaluation import rules_of
from cxr_training.classifier.metrics import for_manifest, metric_rows
from cxr_training.classifier.predictions import Predictions, predict
from cxr_training.classifier.samples import Samples, as_samples
from cxr_training.core.errors import UserError
from cxr_training.core.runs import sha256_of, utc_now
from cxr_training.data.cli import layout_of
from cxr_training.data.collection import Collection
from cxr_training.data.errors import DataError
from cxr_training.data.manifest_csv import check_files, read_entries
from cxr_training.data.own import Layout, read_for_fit
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import Split, refuse_test_folder, split_sha256
from cxr_training.export.publishing import write_manifest
from cxr_training.monitoring.drift import write_site_reference
from cxr_training.monitoring.triage import TriageImages, answers_of, fit_triage
from cxr_training.report.tables import format_interval, markdown_table

_BY_NAME = Layout()
# As many as the gateway wants before it tunes a budget: the upper 5% are then ten images.
MIN_IMAGES = 200
# With fewer, a fit would follow two or three patients.
MIN_PATIENTS = 20
_BY_LEVELS = "Triage: by evidence levels"


class CalibrationError(UserError):
    """The radiographs do not allow a fit; nothing was changed. The message is one sentence."""


@dataclass(frozen=True, slots=True)
class Site:
    """A site's radiographs: all that its CSV names for validation."""

    csv: Path
    images: tuple[Radiograph, ...]
    split_sha256: str
    labels: tuple[Finding, ...] = tuple(Finding)

    def samples(self) -> Samples:
        """As the classifier's evaluation takes them."""
        splits = dict.fromkeys((image.patient for image in self.images), Split.VALIDATION)
        return as_samples(Collection(self.images, splits, self.labels))

    @property
    def n_patients(self) -> int:
        """How many people they are of."""
        return len({image.patient for image in self.images})


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A model as it was and as it is calibrated, with what it says of the site's radiographs."""

    before: ModelManifest
    after: ModelManifest
    predictions: Predictions


def command(options: Namespace) -> int:
    """`cxr models calibrate`."""
    before = open_model_folder(options.model, "classifier").manifest
    labels = [Finding(label.name) for label in before.labels]
    site, triage = read_site(options.data, labels, layout_of(options)), None
    calibrated = calibrate(options.model, site)
    after = calibrated.after
    print("\n\n".join(changes_table(calibrated)))
    for row in after.metrics:
        if (row.name, row.subset) in {("auroc_mean", "all"), ("ece_mean", "all")}:
            print(f"{row.name} {format_interval(row.result)} on {row.n} radiographs")
    if options.no_triage:
        print(f"{_BY_LEVELS}.")
    else:
        detector = options.detector or options.models / "detector"
        triage = triage_of(site, options.model, after, detector)
    renewed = None if triage is None else triage.name
    stale = stale_constants(options.models, identity_of(before), renewed)
    for folder in stale:
        print(f"{folder} was fitted to the earlier probabilities: it is set aside.")
    if options.dry_run:
        print("Nothing was changed.")
        return 0
    write_manifest(after, options.model, classifier_card(after))
    if triage is not None:
        write_manifest(triage, options.models / "triage" / triage.name)
    for folder in stale:
        (folder / MANIFEST_NAME).rename(folder / f"{MANIFEST_NAME}.set-aside")
    again = f"cxr models calibrate --data {site.csv.name}"
    split = Split.VALIDATION.value, site.split_sha256
    said = write_site_reference(site.images, split, options.model, options.models, command=again)
    print("\n".join([*said, "Restart the classifier and the gateway."]))
    return 0


def read_site(
    csv: Path, labels: Sequence[Finding] = tuple(Finding), layout: Layout = _BY_NAME
) -> Site:
    """The radiographs of a table, for a fit.

    Those whose row states the split `validation`; all of them where no row states a split.

    Args:
        csv: a CSV manifest, as docs/data.md has it; for a model of other labels than the fourteen a
            table as docs/researcher.md has it.
        labels: of the model.
        layout: of such a table.

    Raises:
        HeldOutError: it lies in a test set.
        DataError: it is not as docs/data.md says, or holds synthetic images.
        OwnDataError: it is not as docs/researcher.md says; every problem.
        CalibrationError: too few radiographs or patients; all of them with a finding, or none.
    """
    refuse_test_folder(csv)
    if set(labels) == set(Finding):
        images = _of_manifest(csv)
    else:
        images, notes = read_for_fit(csv, layout, labels)
        for note in notes:
            print(f"note: {note}")
    if any(image.synthetic for image in images):
        raise DataError(csv, "names synthetic images: a calibration is of people")
    if len(images) < MIN_IMAGES:
        raise CalibrationError(
            f"{csv} names {len(images)} radiographs for validation; a fit needs {MIN_IMAGES}"
        )
    n_patients = len({image.patient for image in images})
    if n_patients < MIN_PATIENTS:
        raise CalibrationError(f"{csv} is of {n_patients} patients; a fit needs {MIN_PATIENTS}")
    normal = sum(not image.findings for image in images)
    if normal in (0, len(images)):
        which = "no finding" if normal else "a finding"
        raise CalibrationError(f"{csv} knows one class alone: every radiograph has {which}")
    patients = dict.fromkeys((image.patient for image in images), Split.VALIDATION)
    return Site(csv, images, split_sha256(patients), tuple(labels))


def _of_manifest(csv: Path) -> tuple[Radiograph, ...]:
    entries = read_entries(csv)
    for entry in entries:
        refuse_test_folder(entry.radiograph.path)
    check_files(entries)
    if any(entry.stated for entry in entries):
        entries = [entry for entry in entries if entry.stated is Split.VALIDATION]
    return tuple(entry.radiograph for entry in entries)


def calibrate(model: Path, site: Site) -> Calibrated:
    """Fit the model folder `model` to the site's radiographs; nothing is written.

    Raises:
        DataError: an image cannot be decoded.
        ModelFolderError: the folder is not what its manifest says.
        PublishError: its recipe does not say how its figures are made.
    """
    folder = open_model_folder(model, "classifier")
    before = folder.manifest
    rules = replace(rules_of(before, Split.VALIDATION, site.split_sha256), fitted=True)
    predictions = predict(folder, site.samples(), Split.VALIDATION, rules.coarse_px)
    if not (np.ptp(predictions.logits, axis=0) > 0).all():
        raise CalibrationError(f"{before.name} says the same of every radiograph of {site.csv}")
    decisions = fitted_decisions(predictions, rules.evaluation, rules.seed)
    labels = _kept_where_unseen(list(decisions.labels), before.labels, predictions)
    decisions = replace(decisions, labels=tuple(labels))
    rows = metric_rows(predictions, decisions, rules.evaluation, rules.seed)
    found = {
        "csv": site.csv.name,
        "sha256": sha256_of(site.csv),
        "images": len(site.images),
        "patients": site.n_patients,
        "at": utc_now(),
    }
    by_name = {label.name: label for label in labels}
    after = before.model_copy(
        update={
            # In the order of the network's outputs.
            "labels": [by_name[label.name] for label in before.labels],
            "metrics": for_manifest(rows),
            "extra": before.extra
            | {
                "calibration": CALIBRATION_METHOD,
                "threshold": LEVELS_METHOD,
                "calibrated_on": found,
            },
            "data": before.data.model_copy(
                update={"split_sha256": site.split_sha256, "n_validation": len(site.images)}
            ),
        }
    )
    return Calibrated(before, after, predictions)


def _kept_where_unseen(
    fitted: list[LabelSpec], before: Sequence[LabelSpec], predictions: Predictions
) -> list[LabelSpec]:
    """The labels, of a finding without a positive radiograph with the calibration that it had."""
    had = {label.name: label for label in before}
    unseen = predictions.targets.sum(axis=0) == 0
    labels = [
        label.model_copy(
            update={"slope": had[label.name].slope, "intercept": had[label.name].intercept}
        )
        if unseen[column]
        else label
        for column, label in enumerate(fitted)
    ]
    if not unseen.any():
        return labels
    slopes, intercepts = (
        np.array([getattr(label, name) for label in labels]) for name in ("slope", "intercept")
    )
    probabilities = 0.5 * (1.0 + np.tanh(0.5 * (slopes * predictions.logits + intercepts)))
    return with_levels(labels, fitted_levels(predictions, probabilities), predictions.labels)


def changes_table(calibrated: Calibrated) -> list[str]:
    """What changes, a line for each finding, and a sentence of those that were not seen."""
    before, after = (
        {label.name: label for label in manifest.labels}
        for manifest in (calibrated.before, calibrated.after)
    )
    positives = calibrated.predictions.targets.sum(axis=0).astype(int)
    lines = []
    for label, n_positive in zip(calibrated.predictions.labels, positives, strict=True):
        cells = [label.value, str(n_positive)]
        for one in (before[label.value], after[label.value]):
            possible, likely = one.level_thresholds
            cells.append(f"{one.slope:.2f} x {one.intercept:+.2f}")
            cells.append(f"{possible:.3f}, {likely:.3f}")
        lines.append(cells)
    header = ["finding", "positives"]
    for when in ("before", "after"):
        header += [f"logit, {when}", f"possible, likely from, {when}"]
    unseen = [
        calibrated.predictions.labels[column].value for column in np.flatnonzero(positives == 0)
    ]
    parts = [markdown_table(header, lines)]
    if unseen:
        parts.append(
            f"No radiograph has {', '.join(unseen)}: the calibration of these stays as it was."
        )
    return parts


def stale_constants(models: Path, classifier: ModelIdentity, renewed: str | None) -> list[Path]:
    """Folders of constants that were fitted to the classifier's earlier probabilities.

    Args:
        models: holds `triage/`.
        classifier: that was calibrated.
        renewed: name of the triage model that was fitted to the new ones.
    """
    stale = []
    for path in sorted((models / "triage").glob(f"*/{MANIFEST_NAME}")):
        fitted_to = json.loads(path.read_text()).get("classifier", {}).get("sha256")
        if fitted_to == classifier.sha256 and path.parent.name != renewed:
            stale.append(path.parent)
    return stale


def triage_of(
    site: Site, model: Path, after: ModelManifest, detector: Path
) -> TriageManifest | None:
    """The triage model of the calibrated classifier and of `detector`, for this site.

    None where the radiographs or the model allow none: then evidence levels decide. Says which.

    Args:
        site: the radiographs.
        model: the classifier's folder, as it was.
        after: its manifest, as it becomes.
        detector: a model folder, or that of several with its default.

    Raises:
        DataError: an image cannot be decoded.
        ModelFolderError: one of the folders cannot be served.
    """
    try:
        triage = _site_triage(site, model, after, detector)
    except CalibrationError as error:
        print(f"{_BY_LEVELS}, for {error}.")
        return None
    print(f"Triage: {triage.name} ({triage.fit.form}).")
    return triage


def _site_triage(site: Site, model: Path, after: ModelManifest, detector: Path) -> TriageManifest:
    if missing := set(Finding) - set(site.labels):
        raise CalibrationError(
            f"scores are fitted to all fourteen findings ({len(missing)} of them lack)"
        )
    if not detector.is_dir():
        raise CalibrationError(f"there is no detector in {detector}")
    for kind, findings in (("an immediate", IMMEDIATE), ("a same-day", SAME_DAY)):
        if not any(image.findings & set(findings) for image in site.images):
            names = ", ".join(finding.value for finding in findings)
            raise CalibrationError(f"no radiograph of {site.csv} has {kind} finding ({names})")
    boxes = load_detector(DetectorSettings(model_dir=detector, model=None, runtime="onnxruntime"))
    with tempfile.TemporaryDirectory(prefix="cxr-calibrate-") as temporary:
        folder = Path(temporary) / after.name
        shutil.copytree(model, folder)
        write_manifest(after, folder)
        classifier = load_classifier(ClassifierSettings(model_dir=folder, runtime="onnxruntime"))
        answers = answers_of(site.images, classifier, boxes, Path(temporary) / "boxes")
    images = TriageImages.of(site.images, answers, set())
    pair = identity_of(after), identity_of(boxes.manifest)
    manifest = fit_triage(images, *pair, site.split_sha256)
    # What was typed names folders of this machine.
    again = f"cxr models calibrate --model models/classifier/{pair[0].name} --data {site.csv.name}"
    return manifest.model_copy(update={"fit": manifest.fit.model_copy(update={"command": again})})
