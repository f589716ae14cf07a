"""Archived studies with a DICOM original: what exports are made of."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from cxr_contracts import CamGrid, Finding, FindingProbability, Region, level_of
from cxr_gateway.archive import StoredStudy
from cxr_gateway.core.schemas import (
    Box,
    DicomMetadata,
    FailureKind,
    ImageMetadata,
    ImageSource,
    ModelRole,
    OodResult,
    Priority,
    Study,
    StudyProblem,
    StudyStatus,
    Timings,
    Triage,
    UsedModel,
)
from support.dicom_images import dicom
from support.images import radiograph_like

ID = "01jzzzzzzzzzzzzzzzzzzzzzzz"
WIDTH, HEIGHT = 128, 96
NAMES = {
    "latin": ("ISO_IR 100", "Müller^Zoë"),
    "japanese": ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "cyrillic": ("ISO_IR 144", "Люкceмбypг"),
    "unicode": ("ISO_IR 192", "王^小東"),
}
MODELS = [
    UsedModel(role=ModelRole.OOD, name="ood-cxr", version="1", sha256="aa" * 32),
    UsedModel(role=ModelRole.CLASSIFIER, name="lite0-nih14", version="3", sha256="bb" * 32),
    UsedModel(role=ModelRole.DETECTOR, name="fused-both", version="1", sha256="cc" * 32),
]


def original(values: NDArray[np.uint16] | None = None, **tags: Any) -> bytes:
    """A digital radiograph with everything that an archive asks for; `tags` as in `dicom`."""
    if values is None:
        values = radiograph_like(WIDTH, HEIGHT).astype(np.uint16) * 16
    given = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.5.1.1",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.5.1",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.5",
        "PatientID": "4711",
        "PatientName": "Test^Case",
        "PatientBirthDate": "19500203",
        "PatientSex": "F",
        "StudyID": "S1",
        "StudyDate": "20260102",
        "StudyTime": "101112",
        "AccessionNumber": "A1",
        "ReferringPhysicianName": "",
        "WindowCenter": "2048",
        "WindowWidth": "4096",
    }
    wanted = given | tags
    # `dicom` deletes what it has set itself; what is only set here is left out.
    for name in [name for name in given if wanted[name] is None and not name.endswith("UID")]:
        del wanted[name]
    if wanted["SeriesInstanceUID"] is None:
        del wanted["SeriesInstanceUID"]
    return dicom(values, bits=12, **wanted)


def findings(**given: float) -> list[FindingProbability]:
    """All fourteen, possible from 0.3 and likely from 0.6 on, most probable first."""
    rows = [
        FindingProbability(
            finding=one,
            probability=given.get(one.name.lower(), 0.05),
            level=level_of(given.get(one.name.lower(), 0.05), 0.3, 0.6),
            possible_threshold=0.3,
            likely_threshold=0.6,
        )
        for one in Finding
    ]
    return sorted(rows, key=lambda row: -row.probability)


def triage(priority: Priority, reason: str) -> Triage:
    """A priority by evidence levels."""
    rest = dict.fromkeys(set(Triage.model_fields) - {"priority", "reason"})
    return Triage.model_validate({**rest, "priority": priority, "reason": reason})


def box(finding: Region, score: float, *corners: float) -> Box:
    """A box of the detector; corners are x_min, y_min, x_max, y_max."""
    names = ("x_min", "y_min", "x_max", "y_max")
    return Box(
        finding=finding,
        score=score,
        detector_score=score,
        classifier_probability=None,
        **dict(zip(names, corners, strict=True)),
    )


def study(**changed: Any) -> Study:
    """An abnormal study of `original()`, with two boxes; `changed` replaces fields."""
    found = findings(mass=0.72, effusion=0.41)
    values: dict[str, Any] = {
        "id": ID,
        "status": StudyStatus.COMPLETE,
        "received_at": datetime(2026, 1, 2, 11, 12, 13, tzinfo=UTC),
        "file_name": None,
        "content_sha256": "dd" * 32,
        "image": ImageMetadata(
            width=WIDTH, height=HEIGHT, view="PA", source=ImageSource.DICOM, notes=[], stored=None
        ),
        "quality": None,
        "patient": DicomMetadata.model_validate(dict.fromkeys(DicomMetadata.model_fields)),
        "ood": OodResult(accepted=True, score=0.9, threshold=0.1, reason=None),
        "top_findings": found[:3],
        "findings": found,
        "boxes": [
            box(Region.MASS, 0.61, 10, 20, 40.5, 50.25),
            box(Region.PLEURAL_THICKENING, 0.33, 70, 8, 120, 90),
        ],
        "rescoring": None,
        "calibrated": True,
        "heatmaps": [Finding.MASS, Finding.EFFUSION],
        "triage": triage(Priority.SOON, "Mass is likely."),
        "models": MODELS,
        "timings_ms": Timings(decode=1, ood=1, classifier=1, detector=1, archive=1, total=5),
        "problems": [],
    }
    return Study.model_validate(values | changed)


KINDS: dict[str, dict[str, Any]] = {
    "abnormal": {},
    "normal": {
        "findings": findings(),
        "top_findings": findings()[:3],
        "boxes": [],
        "heatmaps": [Finding.ATELECTASIS],
        "triage": triage(Priority.ROUTINE, "Nothing is likely."),
    },
    "partial": {
        "status": StudyStatus.PARTIAL,
        "findings": [],
        "top_findings": [],
        "heatmaps": [],
        "models": [MODELS[0], MODELS[2]],
        "problems": [
            StudyProblem(
                service=ModelRole.CLASSIFIER,
                kind=FailureKind.TIMEOUT,
                detail="The classifier did not answer within 10 s.",
            )
        ],
    },
    "rejected": {
        "status": StudyStatus.REJECTED,
        "findings": [],
        "top_findings": [],
        "boxes": [],
        "heatmaps": [],
        "triage": None,
        "models": MODELS[:1],
        "ood": OodResult(accepted=False, score=0.02, threshold=0.1, reason="The image is blank."),
    },
    # Where there is no out-of-distribution model, its tags alone.
    "rejected-by-tags": {
        "status": StudyStatus.REJECTED,
        "findings": [],
        "top_findings": [],
        "boxes": [],
        "heatmaps": [],
        "triage": None,
        "models": [],
        "ood": OodResult(accepted=False, score=None, threshold=None, reason="It is a hand."),
    },
}


def stored(made: Study) -> StoredStudy:
    """The study as the archive hands it out, with a map for each finding of `heatmaps`."""
    grid = [[-1.0, 0.5, 2.5], [0.0, 1.0, 3.0]]
    cams = [CamGrid(finding=one, values=grid) for one in made.heatmaps]
    return StoredStudy(
        id=made.id,
        content_sha256=made.content_sha256,
        status=made.status,
        source=made.image.source,
        revision=1,
        result_json=made.model_dump_json(),
        cams_json=TypeAdapter(list[CamGrid]).dump_json(cams).decode(),
        department=None,
    )
