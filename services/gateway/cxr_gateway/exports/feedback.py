"""What readers corrected, as files: a table, COCO's JSON, and a manifest to train on.

Pure functions of what stands: entries that were taken back or replaced are not in them. Patients
are pseudonyms. Comments are a person's own words, so the table has them and the others have not.
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cxr_contracts import NO_FINDING, Finding, Level, Region, finding_of_region
from cxr_gateway.archive.first_reads import FirstReadRecord
from cxr_gateway.archive.reviews import ReviewRecord
from cxr_gateway.core.schemas import Study
from cxr_gateway.exports.deidentification.pseudonyms import Pseudonyms

CSV_COLUMNS = (
    "study",
    "sop_instance_uid",
    "revision",
    "at",
    "by",
    "verdict",
    "target_kind",
    "target",
    "target_box",
    "shown_level",
    "shown_value",
    "label",
    "x_min",
    "y_min",
    "x_max",
    "y_max",
    "comment",
    "model_role",
    "model",
    "model_version",
    "model_sha256",
)
FIRST_READ_COLUMNS = (
    "study",
    "revision",
    "at",
    "by",
    "finding",
    "seen",
    "model_level",
    "model_probability",
    "comment",
)
MANIFEST_COLUMNS = ("image", "patient", "findings", "unknown", "age_years", "sex", "view", "split")
# A cell that begins so would be a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_VIEWS = ("PA", "AP")
_SEXES = ("M", "F", "O")


@dataclass(frozen=True)
class Reviewed:
    """A study with what stands of it, the oldest first."""

    study: Study
    records: tuple[ReviewRecord, ...]


def together(records: Iterable[ReviewRecord], studies: Mapping[str, Study]) -> list[Reviewed]:
    """The records by study, in the order of the studies' ids; of studies that are there."""
    found: dict[str, list[ReviewRecord]] = defaultdict(list)
    for record in records:
        found[record.study_id].append(record)
    return [Reviewed(studies[x], tuple(found[x])) for x in sorted(found) if x in studies]


def assessed(reviewed: Iterable[Reviewed]) -> list[Reviewed]:
    """Those of which more was said than words: they alone are images to learn from."""
    return [one for one in reviewed if any(record.verdict != "commented" for record in one.records)]


def image_name(study: Study) -> str:
    """Where COCO and the manifest say that the image is, below their folder."""
    return f"images/{study.id}.png"


def corrections_csv(reviewed: Iterable[Reviewed]) -> str:
    """One line an entry, with everything that was said."""
    rows = [
        (
            record.study_id,
            one.study.patient.sop_instance_uid,
            record.revision,
            record.made_at.isoformat(),
            record.made_by,
            record.verdict,
            record.target_kind,
            record.target_label,
            record.target_box,
            record.shown_level,
            record.shown_value,
            record.label,
            record.x_min,
            record.y_min,
            record.x_max,
            record.y_max,
            record.comment,
            record.model_role,
            record.model_name,
            record.model_version,
            record.model_sha256,
        )
        for one in reviewed
        for record in one.records
    ]
    return _csv(CSV_COLUMNS, ([_cell(value) for value in row] for row in rows))


def first_reads_csv(records: Iterable[FirstReadRecord]) -> str:
    """A line for each finding of each first opinion, the model's answer beside it."""
    rows = [
        (
            record.study_id,
            record.revision,
            record.made_at.isoformat(),
            record.made_by,
            shown["finding"],
            shown["finding"] in json.loads(record.findings_json),
            shown["level"],
            shown["probability"],
            record.comment,
        )
        for record in records
        for shown in json.loads(record.shown_json)
    ]
    return _csv(FIRST_READ_COLUMNS, ([_cell(value) for value in row] for row in rows))


def coco_json(reviewed: Iterable[Reviewed]) -> str:
    """Images with the regions that readers confirmed, moved, named otherwise or drew."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    chosen = assessed(reviewed)
    own = {record.label for one in chosen for record in one.records if record.label}
    names = sorted({*(x.value for x in Finding), *(x.value for x in Region), *own})
    for number, one in enumerate(chosen, 1):
        size = one.study.image
        images.append(
            {
                "id": number,
                "file_name": image_name(one.study),
                "width": size.width,
                "height": size.height,
                "study": one.study.id,
                "study_instance_uid": one.study.patient.study_instance_uid,
                "sop_instance_uid": one.study.patient.sop_instance_uid,
            }
        )
        for record in one.records:
            if record.corners is None or record.label is None or record.verdict == "rejected":
                continue
            x_min, y_min, x_max, y_max = record.corners
            width, height = x_max - x_min, y_max - y_min
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": names.index(record.label) + 1,
                    "bbox": [x_min, y_min, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "attributes": {"verdict": record.verdict, "by": record.made_by},
                }
            )
    categories = [{"id": n, "name": name} for n, name in enumerate(names, 1)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    return json.dumps(document, indent=1) + "\n"


def manifest_csv(reviewed: Iterable[Reviewed], pseudonyms: Pseudonyms) -> str:
    """What `cxr classifier train --manifest` reads: a line an assessed study.

    A finding of which no reader said anything is `unknown`: the loss leaves it out. Corrections
    only train, for what a model showed is no ground to measure it on.
    """
    rows = []
    for one in assessed(reviewed):
        judged = findings_of(one.records)
        study, patient = one.study, one.study.patient
        # Those of the classifier that read it, which may be one with labels of its own.
        known = dict.fromkeys([*([row.finding for row in study.findings] or Finding), *judged])
        order = [x for x in Finding if x in known] + [x for x in known if x not in set(Finding)]
        present = [x.value for x in order if judged.get(x)]
        number = pseudonyms.patient(patient.patient_id or f"study {study.content_sha256}")
        view = study.image.view if study.image.view in _VIEWS else ""
        sex = patient.sex if patient.sex in _SEXES else ""
        unknown = "|".join(x.value for x in order if x not in judged)
        findings = "|".join(present) or NO_FINDING
        age = _age_years(patient.birth_date, patient.study_date)
        rows.append(
            [image_name(study), number, findings, unknown, age, sex or "", view or "", "train"]
        )
    return _csv(MANIFEST_COLUMNS, rows)


def findings_of(records: Iterable[ReviewRecord]) -> dict[Finding, bool]:
    """Whether each judged finding is there; where readers differ, the later word counts.

    A rejected box says nothing of its finding, which may lie elsewhere.
    """
    judged: dict[Finding, bool] = {}
    for record in records:
        said, label = _finding(record.label), _finding(record.target_label)
        if record.target_kind == "finding" and label is not None:
            shown = record.shown_level != Level.UNLIKELY.value
            if record.verdict in ("accepted", "rejected"):
                judged[label] = shown == (record.verdict == "accepted")
            elif record.verdict == "modified":
                judged[label] = False
        if record.verdict in ("modified", "added") and said is not None:
            judged[said] = True
        if record.verdict == "accepted" and record.target_kind == "box" and said is not None:
            judged[said] = True
    return judged


def _finding(label: str | None) -> Finding | None:
    if label is None:
        return None
    return Finding(label) if label in set(Finding) else finding_of_region(Region(label))


def _age_years(birth_date: str | None, study_date: str | None) -> str:
    if birth_date is None or study_date is None:
        return ""
    before_birthday = study_date[5:] < birth_date[5:]
    years = int(study_date[:4]) - int(birth_date[:4]) - before_birthday
    return str(years) if 0 <= years <= 130 else ""


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _csv(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return stream.getvalue()
