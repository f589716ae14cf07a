"""What the OpenAPI document says beyond the schemas: problems, headers, examples, media types."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from cxr_contracts import PROBLEM_MEDIA_TYPE
from cxr_gateway.api.examples import EXAMPLES
from cxr_gateway.api.problems import CATALOGUE, ProblemType, Said, types_of
from cxr_gateway.api.upload import MAX_FILES, RAW_TYPES

Responses = dict[int | str, dict[str, Any]]

# No such study; operations on a part of one say of which.
NO_STUDY = "There is no study of this id, or it is another department's."
# Marks what no route described: `install_examples` does, who sees the whole operation.
_UNDESCRIBED = "x-undescribed"

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


def header(description: str, example: str, **schema: Any) -> dict[str, Any]:
    """A response's header as the document declares it."""
    return {"description": description, "schema": {"type": "string", **schema}, "example": example}


LOCATION = header("The study's path.", "/api/v1/studies/01k6xw3m9v5t8r2q4n7j1h0g6f")
DISPOSITION = header("Under which name to save it.", 'attachment; filename="01k6xw3m9v.dcm"')
_IMAGE_HEADERS = {
    "ETag": header("Changes when the image does.", '"image-1.png"'),
    "Cache-Control": header("Ask each time whether it is the same.", "private, no-cache"),
}
_REQUEST_ID = header(
    "Names this request in the gateway's logs; the request's own, if it had a usable one.",
    "3f0c7b1e9a5d4c62",  # pragma: allowlist secret
)
_RETRY_AFTER = {
    "description": "Seconds after which to try again.",
    "schema": {"type": "integer", "minimum": 0},
    "example": 1,
}
_WAYS_IN = header("How to say who one is.", "Bearer")
# Headers of every operation, and those that a status has whatever the operation is.
_HEADERS = {"X-Request-ID": _REQUEST_ID, "Retry-After": _RETRY_AFTER, "WWW-Authenticate": _WAYS_IN}
_BY_STATUS = {"401": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After"}


def problem_responses(*said: Said, because: Mapping[int, str] | None = None) -> Responses:
    """The `responses` of a route that can end in these problems.

    Args:
        said: statuses, which stand for their usual types, and errors.
        because: what a status means for this operation, where neither its types nor its
            parameters say it.
    """
    by_status: dict[int, list[ProblemType]] = {}
    for one in types_of(*said):
        by_status.setdefault(one.status, []).append(one)
    own = because or {}
    return {
        status: {
            "description": own.get(status, " Or: ".join(one.meaning for one in found)),
            **({_UNDESCRIBED: True} if status not in own else {}),
            "content": {
                PROBLEM_MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {
                        one.name: {"$ref": f"#/components/examples/{one.name}"} for one in found
                    },
                }
            },
        }
        for status, found in by_status.items()
    }


def file_response(description: str, *media_types: str, **headers: dict[str, Any]) -> Responses:
    """A file to save, of one of these media types, with these headers beside its name."""
    content = dict.fromkeys(media_types, _BINARY)
    headers = {"Content-Disposition": DISPOSITION, **headers}
    return {200: {"description": description, "headers": headers, "content": content}}


def png_response(description: str) -> Responses:
    """An image, or 304 for a client that has it already."""
    return {
        200: {
            "description": description,
            "headers": _IMAGE_HEADERS,
            "content": {"image/png": _BINARY},
        },
        304: {
            "description": "The client's copy (`If-None-Match`) is still the same.",
            "headers": _IMAGE_HEADERS,
        },
    }


UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "title": "Upload",
                    "description": "A form with one file.",
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
            },
            # The body is the file; Content-Disposition may name it.
            **dict.fromkeys(RAW_TYPES, _BINARY),
        },
    }
}

BATCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "title": "Batch",
                    "description": "A form with several files, each a field of the same name.",
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "minItems": 1,
                            "maxItems": MAX_FILES,
                            "description": "Radiographs: PNG, JPEG or DICOM. All together are as "
                            "large as one upload may be.",
                        }
                    },
                }
            },
        },
    }
}

_PENDING: dict[str, Any] = {
    "status": "pending",
    "top_findings": [],
    "findings": [],
    "boxes": [],
    "heatmaps": [],
    "triage": None,
    "models": [],
    "calibrated": None,
}


def install_examples(app: FastAPI) -> None:
    """Put examples and the headers of every answer into the document.

    Handed to the routes, examples would lose their nulls: FastAPI leaves None out of the document.
    """
    plain = app.openapi

    def document() -> dict[str, Any]:
        found = plain()
        found["components"]["headers"] = _HEADERS
        found["components"]["examples"] = {
            one.name: {"summary": one.title, "value": one.example} for one in CATALOGUE
        }
        for path, operations in found["paths"].items():
            for operation in operations.values():
                _complete(operation)
                _describe(path, operation)
        return found

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _complete(operation: dict[str, Any]) -> None:
    example = EXAMPLES.get(operation["operationId"])
    for status, response in operation["responses"].items():
        problem = response.get("content", {}).get(PROBLEM_MEDIA_TYPE)
        if problem is not None and "examples" not in problem:
            # Of a route of every service's, which knows no catalogue.
            response["content"] |= problem_responses(int(status))[int(status)]["content"]
        names = ["X-Request-ID", *([_BY_STATUS[status]] if status in _BY_STATUS else [])]
        usual = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        response["headers"] = {**usual, **response.get("headers", {})}
        if status.startswith("2") and example is not None:
            for kind, content in response.get("content", {}).items():
                if content.get("schema", {}).get("format") != "binary" and kind != "text/html":
                    content["example"] = {**example, **_PENDING} if status == "202" else example


def _describe(path: str, operation: dict[str, Any]) -> None:
    """Say of a status what it means here: a type's own meaning is for every operation it has."""
    for status, response in operation["responses"].items():
        if not response.pop(_UNDESCRIBED, False):
            continue
        if status == "404" and "{study_id}" in path:
            response["description"] = NO_STUDY
        elif status == "422":
            response["description"] = _invalid(operation)


def _invalid(operation: dict[str, Any]) -> str:
    if "requestBody" in operation:
        return (
            "A parameter or the body is not as this document says, or what it says does not go "
            "together."
        )
    if operation.get("parameters"):
        return "A parameter is not as this document says, or does not go with another."
    return "It has a parameter, and this operation takes none."
