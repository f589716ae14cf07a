"""What is rendered, held against DCMTK's `dcm2pnm`: within one level of grey, or named why not.

`make test` takes a sample of the grid and `make test-images` all of it.
"""

import itertools
import os
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from cxr_gateway.imaging import read_upload
from support.dicom_grid import Case
from support.differences import Differences

pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning"), pytest.mark.slow]

# DCMTK has a program for each family of codecs.
PROGRAM = {JPEGLosslessSV1: "dcmj2pnm", JPEGLSLossless: "dcml2pnm"}
ALL = os.environ.get("CXR_ALL_IMAGES") == "1"
SAMPLED = 60
GRID = [
    case
    for cell in itertools.product(
        ("MONOCHROME1", "MONOCHROME2"),
        (8, 10, 12, 14, 16),
        (False, True),
        (None, (1.0, -1024.0), (0.5, 3.0)),
        ("LINEAR", "narrow", "SIGMOID", "LUT"),
        (
            ImplicitVRLittleEndian,
            ExplicitVRLittleEndian,
            ExplicitVRBigEndian,
            DeflatedExplicitVRLittleEndian,
            RLELossless,
            JPEGLosslessSV1,
            JPEGLSLossless,
        ),
    )
    # A table's first value has 16 bits and a sign.
    if (case := Case(*cell)).voi != "LUT" or not (case.bits == 16 and case.is_signed)
]


def rendered_by_dcmtk(path: Path, case: Case) -> npt.NDArray[np.int64]:
    program = shutil.which(PROGRAM.get(case.syntax, "dcm2pnm"))
    assert program is not None, "DCMTK is needed: apt-get install dcmtk"
    out = path.with_suffix(".pgm")
    option = ["+Wl", "1"] if case.voi == "LUT" else ["+Wi", "1"]
    subprocess.run(
        [program, "--quiet", *option, str(path), str(out)], check=True, capture_output=True
    )
    return np.asarray(Image.open(out)).astype(np.int64)


@pytest.mark.parametrize("case", GRID if ALL else random.Random(7).sample(GRID, SAMPLED), ids=str)
def test_a_generated_file_looks_as_dcmtk_shows_it(
    case: Case, tmp_path: Path, differences: Differences
) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(case.encoded())
    ours = read_upload(path.read_bytes())
    theirs = rendered_by_dcmtk(path, case)
    assert ours.metadata.notes == []
    most = int(np.abs(ours.grey - theirs).max())
    whole = case.rescale is None or case.rescale[0].is_integer()
    what = "" if whole else ", slope of 0.5: DCMTK rounds what it makes"
    differences.found(f"generated, DCMTK: {case.syntax.name}{what}", most)
    assert most <= case.tolerance
