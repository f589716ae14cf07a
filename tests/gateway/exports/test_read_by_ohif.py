"""OHIF's own parser reads our report of boxes, and would draw each where the detector drew it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cxr_gateway.exports.dicom.results import ReportKind, Result, make_result
from cxr_gateway.imaging.decoders import InProcessDecoder
from support.archived_studies import NAMES, original, stored, study

_OHIF = Path(__file__).parents[2] / "ohif"
pytestmark = pytest.mark.slow


def drawn(folder: Path, kind: ReportKind, **tags: Any) -> dict[str, Any]:
    """What the parser of `tests/ohif` makes of a report."""
    made = make_result(
        stored(study()), original(**tags), Result.BOXES, InProcessDecoder(), kind=kind
    )
    (folder / "boxes.dcm").write_bytes(made.content)
    assert (_OHIF / "node_modules").is_dir(), "`make test` installs OHIF's parser"
    done = subprocess.run(
        ["node", str(_OHIF / "boxes.mjs"), str(folder / "boxes.dcm")],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("kind", ["3d", "2d"])
def test_each_box_becomes_a_rectangle_at_its_pixels(kind: ReportKind, tmp_path: Path) -> None:
    charset, name = NAMES["japanese"]
    found = drawn(tmp_path, kind, SpecificCharacterSet=charset.split("\\"), PatientName=name)
    assert [one["tool"] for one in found["boxes"]] == ["RectangleROI"] * 2
    assert [one["finding"] for one in found["boxes"]] == ["Mass", "Pleural thickening"]
    assert all("Research use" in one["label"] for one in found["boxes"])
    assert {one["image"] for one in found["boxes"]} == {found["image"]}
    assert len({one["tracking"] for one in found["boxes"]}) == 2
    # Its handles are the corners, row by row.
    assert found["boxes"][0]["points"] == [[10, 20], [40.5, 20], [10, 50.25], [40.5, 50.25]]
