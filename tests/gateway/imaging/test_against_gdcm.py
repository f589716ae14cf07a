"""Decoders held against GDCM's, and every image that packages ship against GDCM and DCMTK.

`make test` takes a sample and `make test-images` all.
"""

import os
import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import data_store  # of the package pydicom-data
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from cxr_gateway.imaging import DecodedImage, Limits, read_upload
from cxr_serving.errors import ServiceError
from support.dicom_grid import GREY, Case
from support.differences import Differences

pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning"), pytest.mark.slow]

ALL = os.environ.get("CXR_ALL_IMAGES") == "1"
COMPRESSED = (RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless)
T = TypeVar("T")
GRID = [
    Case(photometric, bits, is_signed, None, "LINEAR", syntax)
    for photometric in ("MONOCHROME1", "MONOCHROME2")
    for bits in (8, 10, 12, 14, 16)
    for is_signed in (False, True)
    for syntax in COMPRESSED
]
PACKAGED = sorted(
    path
    for package in (pydicom, data_store)
    for path in Path(package.__path__[0]).rglob("*.dcm")
    if path.stat().st_size < 20_000_000
)
# Why more than a level is no fault, by the name of the file.
LOSSY = "Lossy, of few values: decoders round one stored value differently, which is several greys."
OVERLAYS = "DCMTK draws the file's overlays; here they are no part of the radiograph."
EXPLAINED = {
    "JPGExtended.dcm": LOSSY,
    "JPEG-lossy.dcm": LOSSY,
    "MR-SIEMENS-DICOM-WithOverlays.dcm": OVERLAYS,
    "examples_overlay.dcm": OVERLAYS,
    "SC_rgb_rle_16bit.dcm": "GDCM alone has other values; DCMTK decompresses to ours.",
}


def sampled(cases: Sequence[T], n: int) -> Sequence[T]:
    return cases if ALL else random.Random(7).sample(cases, min(n, len(cases)))


def decompressed(path: Path) -> DecodedImage | None:
    """The file as GDCM decompresses it; None if it cannot."""
    program = shutil.which(os.environ.get("GDCMCONV", "gdcmconv"))
    assert program is not None, "GDCM is needed: apt-get install libgdcm-tools"
    raw = path.with_suffix(".raw.dcm")
    subprocess.run([program, "--raw", str(path), str(raw)], check=False, capture_output=True)
    # Uncompressed, a file of many frames may be larger than what is accepted.
    limits = Limits(max_bytes=1 << 30, max_pixels=1 << 30)
    return read_upload(raw.read_bytes(), limits=limits) if raw.is_file() else None


def shown_by_dcmtk(path: Path, ours: DecodedImage) -> npt.NDArray[np.int64] | None:
    """DCMTK's rendering, where it is to be the same: by a window or VOI LUT, or in colour."""
    option = []
    if ours.how["stored values"] != "colour":
        by = ours.how["shown by"]
        option = ["+Wi", "1"] if by.startswith("Window") else ["+Wl", "1"]
        if not by.startswith(("Window", "VOILUT")):
            return None
    syntax = ours.how["transfer syntax"]
    program = "dcm2pnm"
    if "JPEG-LS" in syntax:
        program = "dcml2pnm"
    elif "JPEG" in syntax and "2000" not in syntax:
        program = "dcmj2pnm"
    found = shutil.which(program)
    assert found is not None, "DCMTK is needed: apt-get install dcmtk"
    out = path.with_suffix(".pnm")
    command = [found, "--quiet", "+F", "1", *option, str(path), str(out)]
    subprocess.run(command, check=False, capture_output=True)
    return np.asarray(Image.open(out).convert("L")).astype(np.int64) if out.is_file() else None


@pytest.mark.parametrize("case", sampled(GRID, 16), ids=str)
def test_a_generated_file_is_decoded_as_gdcm_does(
    case: Case, tmp_path: Path, differences: Differences
) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(case.encoded())
    theirs = decompressed(path)
    assert theirs is not None
    ours = read_upload(path.read_bytes())
    assert ours.grey.shape == GREY.shape
    most = int(np.abs(ours.grey.astype(int) - theirs.grey).max())
    differences.found(f"generated, GDCM: {case.syntax.name}", most)
    assert most == 0


@pytest.mark.parametrize("source", sampled(PACKAGED, 12), ids=lambda path: path.name)
def test_a_packaged_image_is_read_as_others_read_it(
    source: Path, tmp_path: Path, differences: Differences
) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(source.read_bytes())
    try:
        ours = read_upload(path.read_bytes())
    except ServiceError as refusal:
        differences.refused.append((source.name, refusal.detail))
        return
    compared: dict[str, npt.NDArray[np.int64]] = {}
    if ours.how["decoder"] != "none needed" and (theirs := decompressed(path)) is not None:
        compared["GDCM"] = theirs.grey.astype(np.int64)
    # What the tags refuse is shown as it is stored, not turned or made square.
    if (shown := shown_by_dcmtk(path, ours)) is not None and shown.shape == ours.grey.shape:
        compared["DCMTK"] = shown
    for by, grey in compared.items():
        assert grey.shape == ours.grey.shape
        most = int(np.abs(ours.grey - grey).max())
        differences.found(f"packaged, {by}", most)
        if most > 1:
            assert source.name in EXPLAINED, f"{by}: {most}"
            differences.explained.append((source.name, by, most, EXPLAINED[source.name]))
