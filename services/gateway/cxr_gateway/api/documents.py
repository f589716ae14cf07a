"""What the OpenAPI document says beyond the schemas: problem responses, examples, media types."""

from typing import Any

from fastapi import FastAPI

from cxr_contracts import PROBLEM_MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]

EXAMPLE_ID = "01k6xw3m9v5t8r2q4n7j1h0g6f"

_PROBLEMS: dict[int, tuple[str, str, str]] = {
    400: ("The request contradicts itself.", "bad-request", "`cursor` is not one of ours."),
    401: (
        "Nobody that is known asks.",
        "unauthenticated",
        "Sign in, or send a valid API key as `Authorization: Bearer`.",
    ),
    403: ("Not for these roles.", "forbidden", "None of your roles allows this."),
    404: ("No such thing.", "not-found", "No study has the id `01k6xw3m9v5t8r2q4n7j1h0g6f`."),
    408: (
        "The client fell silent in the middle of its upload.",
        "upload-timeout",
        "Nothing came for 30 s in the middle of the upload.",
    ),
    409: (
        "The Idempotency-Key was used for another file, or a picture that may show a name is not "
        "exported.",
        "conflict",
        "The key `order-4711` belongs to a file with other content.",
    ),
    413: (
        "Too many bytes or pixels; refused before decoding.",
        "too-large",
        "The upload exceeds 50,000,000 bytes.",
    ),
    415: (
        "Not a PNG, JPEG or DICOM file.",
        "unsupported-media",
        "Found a GIF; accepted are PNG, JPEG and DICOM.",
    ),
    422: (
        "A malformed request, or a file that is broken or not acceptable.",
        "unprocessable",
        "The PNG ends in the middle of its pixels.",
    ),
    429: (
        "Too many requests of one user, key or address; `Retry-After` says when to go on.",
        "too-many-requests",
        "Too many requests in a minute; try again later.",
    ),
    503: (
        "Both readers are down (with `study_id`: kept, can be run again), or the gateway is full.",
        "readers-down",
        "Neither reader answered; the study is kept and can be run again.",
    ),
    507: (
        "The archive's disk is full; nothing was kept.",
        "storage-full",
        "The archive has no room left; nothing of this upload was kept.",
    ),
}
_TITLES = {
    400: "Bad request",
    401: "Not signed in",
    403: "Forbidden",
    404: "Not found",
    408: "Upload timed out",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported file",
    422: "Unprocessable",
    429: "Too many requests",
    503: "Readers down",
    507: "Archive full",
}


def problem_responses(*statuses: int) -> Responses:
    """The `responses` of a route that can end in these problems."""
    return {status: _problem_response(status) for status in statuses}


def _problem_response(status: int) -> dict[str, Any]:
    description, kind, detail = _PROBLEMS[status]
    example: dict[str, Any] = {
        "type": f"urn:cxr:problem:{kind}",
        "title": _TITLES[status],
        "status": status,
        "detail": detail,
        "instance": "/api/v1/studies",
    }
    if status == 503:
        example["study_id"] = EXAMPLE_ID
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": description,
        "content": {PROBLEM_MEDIA_TYPE: {"schema": schema, "example": example}},
    }


def png_response(description: str) -> Responses:
    """A picture, or 304 for a client that has it already."""
    return {
        200: {
            "description": description,
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
        },
        304: {"description": "The client's copy (`If-None-Match`) is still the same."},
    }


UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "One radiograph: PNG, JPEG or DICOM.",
                        }
                    },
                }
            }
        },
    }
}

_NAMES = [
    ("Mass", 0.71, 0.22),
    ("Effusion", 0.34, 0.31),
    ("Nodule", 0.19, 0.24),
    ("Atelectasis", 0.17, 0.28),
    ("Infiltration", 0.15, 0.33),
    ("Consolidation", 0.09, 0.14),
    ("Pleural_Thickening", 0.07, 0.11),
    ("Pneumothorax", 0.05, 0.15),
    ("Fibrosis", 0.03, 0.06),
    ("Cardiomegaly", 0.02, 0.09),
    ("Emphysema", 0.02, 0.08),
    ("Pneumonia", 0.02, 0.04),
    ("Edema", 0.01, 0.07),
    ("Hernia", 0.0, 0.02),
]
_FINDINGS = [
    {"finding": name, "probability": p, "threshold": t, "positive": p >= t} for name, p, t in _NAMES
]
_SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

STUDY_SUMMARY_EXAMPLE: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "status": "complete",
    "received_at": "2026-05-04T09:30:12.481000Z",
    "file_name": "chest.dcm",
    "image": {"width": 1841, "height": 1955, "view": "PA", "source": "dicom"},
    "patient": {
        "patient_id": "RG1",
        "name": None,
        "birth_date": None,
        "sex": None,
        "accession_number": None,
        "study_date": None,
        "study_instance_uid": None,
        "sop_instance_uid": None,
    },
    "gate": {"accepted": True, "score": 0.98, "threshold": 0.5, "reason": None},
    "top_findings": _FINDINGS[:3],
    "triage": {
        "priority": "soon",
        "reason": "Mass is positive: probability 0.71 reaches its threshold of 0.22.",
    },
}
STUDY_EXAMPLE: dict[str, Any] = {
    **STUDY_SUMMARY_EXAMPLE,
    "content_sha256": _SHA,
    "findings": _FINDINGS,
    "boxes": [
        {
            "finding": "Mass",
            "rescored_score": 0.58,
            "score": 0.64,
            "classifier_probability": 0.71,
            "x_min": 1210.0,
            "y_min": 790.5,
            "x_max": 1402.0,
            "y_max": 985.0,
        }
    ],
    "rescoring": {"name": "lite0-nih14--fused-both", "sha256": _SHA},
    "heatmaps": ["Mass", "Effusion", "Nodule"],
    "models": [
        {"role": "gate", "name": "ood-cxr", "version": "1.0.0", "sha256": _SHA},
        {"role": "classifier", "name": "lite0-nih14", "version": "1.0.0", "sha256": _SHA},
        {"role": "detector", "name": "fused-both", "version": "1.0.0", "sha256": _SHA},
    ],
    "timings_ms": {
        "decode": 14.2,
        "gate": 2.1,
        "classifier": 31.0,
        "detector": 60.3,
        "archive": 1.9,
        "total": 81.7,
    },
    "problems": [],
}
STUDY_PAGE_EXAMPLE: dict[str, Any] = {
    "items": [STUDY_SUMMARY_EXAMPLE],
    "next_cursor": None,
    "total": 1,
}


_EXAMPLES = {
    "createStudy": STUDY_EXAMPLE,
    "getStudy": STUDY_EXAMPLE,
    "rerunStudy": STUDY_EXAMPLE,
    "listStudies": STUDY_PAGE_EXAMPLE,
}


def install_examples(app: FastAPI) -> None:
    """Put the examples of JSON answers into the document.

    Handed to the routes, they would lose their nulls: FastAPI leaves None out of the document.
    """
    plain = app.openapi

    def document() -> dict[str, Any]:
        found = plain()
        for path in found["paths"].values():
            for operation in path.values():
                _add_example(operation)
        return found

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _add_example(operation: dict[str, Any]) -> None:
    example = _EXAMPLES.get(operation["operationId"])
    for code, response in operation["responses"].items():
        if example is not None and code in ("200", "201"):
            response["content"]["application/json"]["example"] = example
