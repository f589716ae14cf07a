"""Exported corrections name the images that they are of."""

import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from cxr_gateway.archive.reviews import ReviewRecord
from cxr_gateway.exports.feedback import Reviewed, coco_json
from support.archived_studies import study


def test_an_image_of_the_coco_file_is_found_again_in_the_hospitals_archive() -> None:
    made = study()
    source = {"study_instance_uid": "1.2.3", "sop_instance_uid": "1.2.3.4"}
    made = made.model_copy(update={"patient": made.patient.model_copy(update=source)})
    empty = dict.fromkeys(field.name for field in fields(ReviewRecord))
    said = {"study_id": made.id, "verdict": "accepted", "label": "Mass", "comment": ""}
    when = {"made_at": datetime(2026, 1, 2, tzinfo=UTC), "made_by": "a.reader", "revision": 1}
    given: dict[str, Any] = {**empty, "id": "1", **said, **when}
    record = ReviewRecord(**given)
    [image] = json.loads(coco_json([Reviewed(made, (record,))]))["images"]
    assert {name: image[name] for name in source} == source
    assert image["study"] == made.id
