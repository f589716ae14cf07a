"""Examples of successful answers, one for each operation that answers with text or JSON.

A contract test holds each against its schema. All patients are made up.
"""

from typing import Any

from cxr_contracts import level_of
from cxr_gateway.api.problems import CATALOGUE

EXAMPLE_ID = "01k6xw3m9v5t8r2q4n7j1h0g6f"

# Name, probability, and from where on it is possible and likely.
_NAMES = [
    ("Mass", 0.71, 0.12, 0.41),
    ("Effusion", 0.34, 0.22, 0.58),
    ("Nodule", 0.19, 0.14, 0.37),
    ("Infiltration", 0.25, 0.27, 0.61),
    ("Atelectasis", 0.17, 0.18, 0.52),
    ("Consolidation", 0.09, 0.11, 0.31),
    ("Pleural_Thickening", 0.07, 0.08, 0.22),
    ("Pneumothorax", 0.05, 0.07, 0.36),
    ("Fibrosis", 0.03, 0.04, 0.15),
    ("Cardiomegaly", 0.02, 0.05, 0.28),
    ("Emphysema", 0.02, 0.04, 0.24),
    ("Pneumonia", 0.02, 0.03, 0.11),
    ("Edema", 0.01, 0.03, 0.26),
    ("Hernia", 0.0, 0.01, 0.08),
]
_FINDINGS = [
    {
        "finding": name,
        "probability": probability,
        "level": level_of(probability, possible, likely).value,
        "possible_threshold": possible,
        "likely_threshold": likely,
    }
    for name, probability, possible, likely in _NAMES
]
# The sha256 of the word test.
# pragma: allowlist nextline secret
_SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

STUDY_SUMMARY_EXAMPLE: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "status": "complete",
    "received_at": "2026-05-04T09:30:12.481000Z",
    "file_name": "chest.dcm",
    "image": {
        "width": 1841,
        "height": 1955,
        "view": "PA",
        "source": "dicom",
        "notes": [],
        "stored": {"columns": 1841, "rows": 1955, "orientation": 1},
    },
    "patient": {
        "patient_id": "RG1",
        "issuer_of_patient_id": None,
        "name": None,
        "birth_date": None,
        "sex": None,
        "accession_number": None,
        "study_date": None,
        "study_instance_uid": None,
        "sop_instance_uid": None,
    },
    "ood": {"accepted": True, "score": 0.98, "threshold": 0.5, "reason": None},
    "top_findings": _FINDINGS[:3],
    "triage": {
        "priority": "soon",
        "score": 0.061,
        "same_day_score": 0.884,
        "urgent_threshold": 0.142,
        "soon_threshold": 0.853,
        "cause": {
            "finding": "Mass",
            "region": None,
            "value": 0.71,
            "usual": 0.03,
            "level": "likely",
            "box": None,
        },
        "model": {"name": "lite0-nih14--fused-both", "sha256": _SHA},
        "reason": "Mass has a probability of 0.710, where 0.030 is usual. The probability of a "
        "finding to be read the same day is 0.884; from 0.853 on a study is soon.",
    },
}
_WORKLIST_EXAMPLE = {"state": "new", "by": None, "at": None, "to": None}
STUDY_EXAMPLE: dict[str, Any] = {
    **STUDY_SUMMARY_EXAMPLE,
    "content_sha256": _SHA,
    "quality": {
        "effective_px": 1841,
        "grey_levels": 221,
        "black_share": 0.0,
        "white_share": 0.0,
        "mean_grey": 131.8,
        "rotation_degrees": 0,
        "inverted": False,
        "part_of_chest": -0.05,
        "blocking": 0.1,
        "warnings": [],
        "unreadable": None,
    },
    "findings": _FINDINGS,
    "boxes": [
        {
            "finding": "Mass",
            "score": 0.58,
            "detector_score": 0.64,
            "classifier_probability": 0.71,
            "x_min": 1210.0,
            "y_min": 790.5,
            "x_max": 1402.0,
            "y_max": 985.0,
        }
    ],
    "rescoring": None,
    "heatmaps": [row["finding"] for row in _FINDINGS],
    "models": [
        {"role": "ood", "name": "ood-cxr", "version": "1.0.0", "sha256": _SHA},
        {"role": "classifier", "name": "lite0-nih14", "version": "1.0.0", "sha256": _SHA},
        {"role": "detector", "name": "fused-both", "version": "1.0.0", "sha256": _SHA},
    ],
    "calibrated": True,
    "timings_ms": {
        "decode": 14.2,
        "ood": 2.1,
        "classifier": 31.0,
        "detector": 60.3,
        "archive": 1.9,
        "total": 81.7,
    },
    "problems": [],
}
_FIRST_READS = {
    "study_id": EXAMPLE_ID,
    "given": True,
    "reads": [
        {
            "by": "reader@hospital.example",
            "mine": True,
            "at": "2026-05-04T09:31:02.000000Z",
            "revision": 1,
            "findings": ["Mass"],
            "comment": "",
            "shown": [{"finding": "Mass", "level": "likely", "probability": 0.71}],
        }
    ],
}
STUDY_PAGE_EXAMPLE: dict[str, Any] = {
    "items": [STUDY_SUMMARY_EXAMPLE | {"worklist": _WORKLIST_EXAMPLE}],
    "next_cursor": None,
    "total": 1,
}
_REVISION, _AT = 1, "2026-05-04T09:41:03.120000Z"
_ENTRY_ID = "6f1c0f5e-6d0b-4b8e-9f0e-3a4b8b9f2c11"
_MODEL = {"name": "lite0-cxr", "version": "3.0.0", "sha256": _SHA}
_NEXT_MODEL = {"name": "lite0-cxr", "version": "3.1.0", "sha256": _SHA}
_READY: dict[str, Any] = {
    "role": "classifier",
    "ready": True,
    "detail": None,
    "model": {"role": "classifier", **_MODEL},
    "licence": "AGPL-3.0-or-later",
    "calibrated": True,
    "has_maps": True,
    "levels": "measured",
    "maps_are_evidence": True,
}
_NOT_READY: dict[str, Any] = {
    **dict.fromkeys(_READY),
    "role": "detector",
    "ready": False,
    "detail": "no connection could be opened to it",
}
_SYSTEM: dict[str, Any] = {
    "version": "0.3.0",
    "intended_use": "Research use only. Not a medical device.",
    "services": [_READY, _NOT_READY],
    "models": [{"role": "classifier", **_MODEL}],
    "finding_levels": [
        {
            "finding": "Mass",
            "possible": {
                "threshold": 0.12,
                "rule": "sensitivity 0.9",
                "split": "test",
                "n": 2000,
                "n_positive": 110,
                "sensitivity": {"value": 0.91, "low": 0.84, "high": 0.95},
                "specificity": {"value": 0.71, "low": 0.69, "high": 0.73},
                "precision": {"value": 0.15, "low": 0.13, "high": 0.18},
            },
            "likely": None,
        }
    ],
    "triage": {
        "model": None,
        "detail": "No triage model was fitted to these models: evidence levels decide.",
        "immediate": ["Pneumothorax"],
        "same_day": ["Mass", "Pneumonia"],
        "alert_budget": 0.05,
        "soon_budget": 0.2,
        "urgent_threshold": None,
        "soon_threshold": None,
        "thresholds_from": None,
        "tuned_at": None,
        "tuned_on": None,
        "measured": [
            {"priority": "urgent", "n_called": 100, "n_immediate": 31, "n_same_day": 77},
        ],
    },
    "triage_rules": [
        {"priority": "urgent", "finding": "Pneumothorax", "rule": "Pneumothorax is likely."},
    ],
    "max_wait_minutes": 240,
    "max_upload_bytes": 50_000_000,
    "max_pixels": 50_000_000,
    "accepted": ["image/png", "image/jpeg", "application/dicom"],
    "viewer_links": [
        {"name": "OHIF", "url": "https://pacs.example/viewer?StudyInstanceUIDs={study_uid}"}
    ],
}
_PROMOTION = {
    "number": 1,
    "role": "classifier",
    "made_at": _AT,
    "made_by": "operator",
    "undoes": None,
    "model": _NEXT_MODEL,
    "before": _MODEL,
}
_SHADOW_REPORT = {
    "role": "classifier",
    "shadow": _NEXT_MODEL,
    "current_sha256": _SHA,
    "first_at": "2026-05-03T08:00:00Z",
    "last_at": _AT,
    "recorded": 400,
    "answered": 399,
    "failures": [{"kind": "timeout", "studies": 1}],
    "findings": [
        {
            "finding": "Mass",
            "same_level": 390,
            "shadow_higher": 6,
            "shadow_lower": 3,
            "agreement": 0.977,
            "mean_absolute_difference": 0.012,
        }
    ],
    "priorities": [{"current": "soon", "shadow": "urgent", "studies": 2}],
    "priority_changes": 2,
    "boxes_per_image_current": 1.2,
    "boxes_per_image_shadow": 1.2,
    "latency_current": {"median_ms": 30.1, "p95_ms": 44.0},
    "latency_shadow": None,
}
_DRIFT = {
    "summary": "The images of 2026-W18 are as those of validation were.",
    "compared_week": "2026-W18",
    "reference": {
        "name": "ood-cxr--lite0-cxr",
        "created_at": "2026-04-01T00:00:00Z",
        "ood": _MODEL,
        "classifier": _MODEL,
        "images": 8000,
        "patients": 2500,
        "split": "validation",
    },
    "rules": {"watch": 0.1, "drifted": 0.25, "min_images": 200},
    "weeks": [
        {
            "week": "2026-W18",
            "starts_on": "2026-04-27",
            "images": 420,
            "compared": 420,
            "refused": 3,
            "other_models": 0,
        }
    ],
    "statistics": [
        {
            "name": "source",
            "kind": "category",
            "about": "input",
            "flag": "stable",
            "psi": 0.02,
            "bins": [{"label": "dicom", "low": None, "high": None, "share": 1.0}],
            "weeks": [
                {
                    "week": "2026-W18",
                    "images": 420,
                    "psi": 0.02,
                    "flag": "stable",
                    "shares": [1.0],
                }
            ],
        }
    ],
}
_SHARE = {
    "name": "all",
    "judged": 40,
    "accepted": 36,
    "rejected": 3,
    "modified": 1,
    "added": 2,
    "share": 0.9,
    "low": 0.77,
    "high": 0.96,
}
_AGREEMENT = {
    "summary": "Readers accepted 36 of 40 answers. No month differs from those before it.",
    "rules": {"min_judged": 30, "confidence": 0.95},
    "overall": _SHARE,
    "by_finding": [_SHARE | {"name": "Mass"}],
    "by_reader": [_SHARE | {"name": "reader-1"}],
    "by_month": [_SHARE | {"name": "2026-05"}],
    "by_model": [_SHARE | {"name": "classifier lite0-cxr 3.0.0"}],
    "changes": [],
    "first_reads": [],
    "reports": [],
}
_REVIEW = {
    "study_id": EXAMPLE_ID,
    "revision": _REVISION,
    "entries": [
        {
            "id": _ENTRY_ID,
            "revision": _REVISION,
            "verdict": "accepted",
            "target": {"kind": "finding", "finding": "Mass"},
            "label": None,
            "corners": None,
            "shown_level": "likely",
            "shown_value": 0.71,
            "model": {"role": "classifier", **_MODEL},
            "comment": "",
            "by": "reader-1",
            "mine": True,
            "at": _AT,
            "withdrawn_at": None,
            "counts": True,
        }
    ],
}
_TEXT = {
    "examination": "Chest radiograph, PA.",
    "comparison": "None.",
    "findings": "A mass in the right lower zone.",
    "impression": "Likely a mass: CT is advised.",
}
_REPORT = {
    "study_id": EXAMPLE_ID,
    "revision": _REVISION,
    "draft": _TEXT,
    "versions": [
        {
            "version": 1,
            "revision": _REVISION,
            "at": _AT,
            "by": "reader-1",
            "name": "reader-1",
            "signed": False,
            "text": _TEXT,
        }
    ],
}
_AUDIT = {
    "items": [
        {
            "seq": 118,
            "at": _AT,
            "kind": "key",
            "subject": "ris",
            "department": None,
            "action": "createStudy",
            "study_id": EXAMPLE_ID,
            "outcome": 201,
            "source": "192.0.2.7",
            "request_id": "3f0c7b1e9a5d4c62",
            "details": None,
            "hash": _SHA,
        }
    ],
    "next_before": 118,
}
_STUDY_UID = "1.2.826.0.1.3680043.8.498.1"
_DICOM_STUDY = {
    "0020000D": {"vr": "UI", "Value": [_STUDY_UID]},
    "00100020": {"vr": "LO", "Value": ["RG1"]},
    "00201208": {"vr": "IS", "Value": [6]},
}
_DICOM_INSTANCE = {
    "0020000D": {"vr": "UI", "Value": [_STUDY_UID]},
    "0020000E": {"vr": "UI", "Value": [f"{_STUDY_UID}.2"]},
    "00080018": {"vr": "UI", "Value": [f"{_STUDY_UID}.2.1"]},
    "00080060": {"vr": "CS", "Value": ["SR"]},
}
_STORED = {
    "00081199": {
        "vr": "SQ",
        "Value": [
            {
                "00081155": {"vr": "UI", "Value": [f"{_STUDY_UID}.1.1"]},
                "00081190": {"vr": "UR", "Value": [f"/api/v1/studies/{EXAMPLE_ID}"]},
            }
        ],
    }
}
_DIAGNOSTIC_REPORT = {
    "resourceType": "DiagnosticReport",
    "id": EXAMPLE_ID,
    "status": "preliminary",
    "code": {"text": "Chest radiograph, read by software"},
    "conclusion": "Mass: likely. Research use only.",
}
_WEBHOOK = {
    "id": "7d1f0a93c2b84e56",  # pragma: allowlist secret
    "url": "https://ris.example.org/cxr",
    "events": ["study.created", "study.deleted"],
    "department": "radiology",
    "created_at": _AT,
    "created_by": "user-1",
    "disabled_at": None,
}
_DELIVERY = {
    "id": "msg_0f3a5c7e9b1d2f4a6c8e0b1d",
    "event": "study.created",
    "study_id": EXAMPLE_ID,
    "state": "delivered",
    "attempts": 1,
    "created_at": _AT,
    "next_at": None,
    "ended_at": _AT,
    "last_status": 204,
    "last_error": None,
}
EXAMPLES: dict[str, Any] = {
    # pragma: allowlist nextline secret
    "createWebhook": _WEBHOOK | {"secret": "whsec_..."},
    "listWebhooks": {"items": [_WEBHOOK]},
    "testWebhook": _DELIVERY | {"event": "webhook.test", "study_id": None},
    "listWebhookDeliveries": {"items": [_DELIVERY]},
    "retryWebhookDelivery": _DELIVERY
    | {"state": "waiting", "attempts": 0, "next_at": _AT, "ended_at": None, "last_status": None},
    "createStudy": STUDY_EXAMPLE,
    "createStudies": {
        "items": [
            {"file_name": "chest.dcm", "status": 201, "study": STUDY_EXAMPLE, "problem": None},
            {
                "file_name": "note.txt",
                "status": 415,
                "study": None,
                "problem": {
                    "type": "urn:cxr:problem:unsupported-media",
                    "title": "Unsupported media type",
                    "status": 415,
                    "detail": "Found text; accepted are PNG, JPEG and DICOM.",
                    "instance": "/api/v1/studies/batch",
                },
            },
        ]
    },
    "getStudy": STUDY_EXAMPLE,
    "rerunStudy": STUDY_EXAMPLE,
    "listStudies": STUDY_PAGE_EXAMPLE,
    "getWorklist": _WORKLIST_EXAMPLE,
    "setWorklist": {"state": "opened", "by": "reader-1", "at": _AT, "to": None},
    "getReview": _REVIEW,
    "putReviewEntry": _REVIEW,
    "withdrawReviewEntry": _REVIEW,
    "getReport": _REPORT,
    "writeReport": _REPORT,
    "storeInstances": _STORED,
    "searchDicomStudies": [_DICOM_STUDY],
    "searchDicomSeries": [_DICOM_INSTANCE],
    "searchDicomInstances": [_DICOM_INSTANCE],
    "searchDicomInstancesOfSeries": [_DICOM_INSTANCE],
    "retrieveDicomStudyMetadata": [_DICOM_INSTANCE],
    "retrieveDicomSeriesMetadata": [_DICOM_INSTANCE],
    "retrieveDicomInstanceMetadata": [_DICOM_INSTANCE],
    "getDiagnosticReport": _DIAGNOSTIC_REPORT,
    "getDiagnosticReportBundle": {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": _DIAGNOSTIC_REPORT}],
    },
    "getSystem": _SYSTEM,
    "getMe": {
        "kind": "key",
        "name": "ris",
        "roles": ["integrator"],
        "department": None,
        "may": ["createStudy", "listStudies", "getStudy"],
        "can_sign_out": False,
        "reads_first": False,
    },
    "getFirstReads": _FIRST_READS,
    "putFirstRead": _FIRST_READS,
    "signOut": {"location": "/"},
    "getModels": {
        "roles": [{"role": "classifier", "active": _READY, "shadow": None}],
        "history": [_PROMOTION],
    },
    "getShadowReport": _SHADOW_REPORT,
    "getDrift": _DRIFT,
    "getAgreement": _AGREEMENT,
    "getCorrectionsCoco": {
        "images": [{"id": 1, "file_name": f"{EXAMPLE_ID}.png", "width": 1841, "height": 1955}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 11, "bbox": [1210.0, 790.5, 192.0, 194.5]}
        ],
        "categories": [{"id": 11, "name": "Mass"}],
    },
    "listAuditEntries": _AUDIT,
    "getInfo": {
        "role": "gateway",
        "service_version": "0.3.0",
        "ood": {"role": "ood", "name": "ood-cxr", "version": "1.0.0", "sha256": _SHA},
    },
    "getLiveness": {"status": "alive"},
    "getReadiness": {"status": "ready"},
    "getMetrics": "# HELP cxr_studies_total Studies by status.\n"
    "# TYPE cxr_studies_total counter\n"
    'cxr_studies_total{status="complete"} 4711.0\n',
    "listProblemTypes": [one.model_dump() for one in CATALOGUE],
    "getProblemType": CATALOGUE[3].model_dump(),
}
