"""The wire: what a client may rely on, and what a manifest may not get wrong."""

import json

import pytest
from pydantic import ValidationError

from cxr_contracts import DetectResponse, ModelFile, ModelManifest, Problem

MODEL = {"name": "m", "version": "1", "sha256": "0" * 64}


def test_a_client_ignores_fields_that_a_newer_service_adds() -> None:
    answer = {"model": MODEL, "image": {"width": 2, "height": 3}, "boxes": [], "new": 1}
    assert DetectResponse.model_validate(answer).image.height == 3


def test_a_score_outside_zero_to_one_is_no_answer() -> None:
    box = {"finding": "Mass", "score": 1.2, "x_min": 0, "y_min": 0, "x_max": 1, "y_max": 1}
    answer = {"model": MODEL, "image": {"width": 2, "height": 3}, "boxes": [box]}
    with pytest.raises(ValidationError, match="score"):
        DetectResponse.model_validate(answer)


def test_a_misspelt_key_in_a_manifest_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        ModelManifest.model_validate({"schema_version": 1, "treshold": 0.5})


@pytest.mark.parametrize("path", ["../weights.bin", "/etc/passwd", "a/b"])
def test_a_manifest_cannot_name_a_file_outside_its_folder(path: str) -> None:
    with pytest.raises(ValidationError, match="path"):
        ModelFile(path=path, sha256="0" * 64, bytes=1)


def test_a_problem_keeps_its_extension_members() -> None:
    body = {"type": "urn:x", "title": "t", "status": 503, "detail": "d", "study_id": "s"}
    problem = Problem.model_validate(body)
    assert problem.extensions() == {"study_id": "s"}
    assert json.loads(problem.model_dump_json(exclude_none=True)) == body
