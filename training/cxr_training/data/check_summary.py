"""The numbers of a check, as lines of text."""

from collections import Counter

from cxr_contracts import NO_FINDING, Finding
from cxr_training.data.check import Report
from cxr_training.data.splits import Split

_SIZES_SHOWN = 10
# NIH's label file has a few patients of 150 to 414 years.
OLDEST_PLAUSIBLE_YEARS = 120


def summary(report: Report) -> list[str]:
    """Images, patients, labels and boxes by split; sizes; the split's sha256."""
    rows = [("", [split.value for split in Split])]
    counts = _image_counts(report) | _box_counts(report)
    rows += [(name, [f"{n[split]:,}" for split in Split]) for name, n in counts.items()]
    widths = [max(len(name) for name, _ in rows)]
    widths += [max(len(fields[column]) for _, fields in rows) for column in range(len(Split))]
    lines = [
        "  ".join(
            [f"{name:<{widths[0]}}"]
            + [f"{f:>{w}}" for f, w in zip(fields, widths[1:], strict=True)]
        )
        for name, fields in rows
    ]
    return [*lines, "", f"sizes (px): {_sizes(report)}", f"split sha256: {report.split_sha256}"]


def class_notes(report: Report) -> list[str]:
    """What the classifier's training would refuse, or a reader should know of the labels."""
    notes = []
    if report.images:
        for split in (Split.TRAIN, Split.VALIDATION):
            found = {
                finding
                for image in report.images
                if report.splits[image.patient] is split
                for finding in image.findings
            }
            empty = [finding.value for finding in Finding if finding not in found]
            if empty:
                notes.append(
                    f"no {split.value} image is positive for {', '.join(empty)}: the classifier "
                    "refuses to train on these sets alone"
                )
    old = sum(image.age_years > OLDEST_PLAUSIBLE_YEARS for image in report.images)
    if old:
        notes.append(f"{old} image(s) of patients older than {OLDEST_PLAUSIBLE_YEARS} years")
    return notes


def _image_counts(report: Report) -> dict[str, Counter[Split]]:
    splits = report.splits
    patients = {image.patient for image in report.images}
    patients |= {image.patient for image in report.annotated}
    counts = {"patients": Counter(splits[patient] for patient in patients)}
    if report.images:
        counts["images"] = Counter(splits[image.patient] for image in report.images)
    synthetic = [image for image in report.images if image.synthetic]
    if synthetic:
        counts["of them synthetic"] = Counter(splits[image.patient] for image in synthetic)
    if report.images:
        clear = (image for image in report.images if not image.findings)
        counts[NO_FINDING] = Counter(splits[image.patient] for image in clear)
        for finding in Finding:
            positive = (image for image in report.images if finding in image.findings)
            counts[finding.value] = Counter(splits[image.patient] for image in positive)
    if report.annotated:
        counts["ChestX-Det images"] = Counter(splits[image.patient] for image in report.annotated)
    return counts


def _box_counts(report: Report) -> dict[str, Counter[Split]]:
    here = {image.name: image.patient for image in report.images}
    nih_patients = [
        here[name] for name, boxes in report.nih_boxes.items() if name in here for _ in boxes
    ]
    det_patients = [image.patient for image in report.annotated for _ in image.boxes]
    return {
        f"boxes of {name}": Counter(report.splits[patient] for patient in patients)
        for name, patients in (("NIH", nih_patients), ("ChestX-Det", det_patients))
        if patients
    }


def _sizes(report: Report) -> str:
    sizes = Counter((facts.width_px, facts.height_px) for facts in report.files.values())
    shown = [f"{width}x{height}: {n:,}" for (width, height), n in sizes.most_common(_SIZES_SHOWN)]
    if len(sizes) > _SIZES_SHOWN:
        shown.append(f"{len(sizes) - _SIZES_SHOWN} other sizes")
    return ", ".join(shown) or "no image"
