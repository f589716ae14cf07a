"""What is rendered, held against DCMTK's `dcm2pnm`: within one level of grey, or named why not.

`make test` takes a sample of the grid and `make test-images` all of it.
"""

import itertools
import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from cxr_gateway.imaging import read_upload
from support.dicom_images import compressed_dicom, dicom, dicom_bytes, dicom_dataset
from support.images import radiograph_like

pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning"), pytest.mark.slow]

# DCMTK has a program for each family of codecs.
PROGRAM = {JPEGLosslessSV1: "dcmj2pnm", JPEGLSLossless: "dcml2pnm"}
ALL = os.environ.get("CXR_ALL_IMAGES") == "1"
SAMPLED = 60
GREY = radiograph_like(64, 48)


@dataclass(frozen=True)
class Case:
    """A cell of the grid."""

    photometric: str
    bits: int
    is_signed: bool
    rescale: tuple[float, float] | None
    voi: str
    syntax: UID

    def __str__(self) -> str:
        sign = "signed" if self.is_signed else "unsigned"
        rescale = "as stored" if self.rescale is None else "{}x{:+}".format(*self.rescale)
        return f"{self.photometric} {self.bits} {sign} {rescale} {self.voi} {self.syntax.name}"

    @property
    def values(self) -> npt.NDArray[Any]:
        """The radiograph over the whole range of the stored bits."""
        span = np.rint(GREY / 255.0 * ((1 << self.bits) - 1)).astype(np.int64)
        kind = f"{'i' if self.is_signed else 'u'}{1 if self.bits == 8 else 2}"
        return (span - (1 << self.bits - 1) if self.is_signed else span).astype(kind)

    @property
    def tags(self) -> dict[str, Any]:
        """Display elements; the window is in units behind the rescale."""
        slope, intercept = self.rescale or (1.0, 0.0)
        low = -(1 << self.bits - 1) if self.is_signed else 0
        first, last = (slope * end + intercept for end in (low, low + (1 << self.bits) - 1))
        made: dict[str, Any] = {"PhotometricInterpretation": self.photometric}
        if self.rescale is not None:
            made |= {"RescaleSlope": str(slope), "RescaleIntercept": str(intercept)}
        if self.voi == "LUT":
            size = round(last - first) + 1
            entries = np.rint(65535 * (np.arange(size) / (size - 1)) ** 1.3).astype(int)
            item = Dataset()
            item.LUTDescriptor = [size % 65536, round(first) % 65536, 16]
            item["LUTDescriptor"].VR = "US"
            order = "<u2" if self.syntax != ExplicitVRBigEndian else ">u2"
            item.LUTData = entries.astype(order).tobytes()
            item["LUTData"].VR = "OW"
            return made | {"VOILUTSequence": [item]}
        share = 0.5 if self.voi == "narrow" else 1.0
        made["WindowCenter"] = f"{(first + last) / 2:.1f}"
        made["WindowWidth"] = f"{max((last - first) * share, 2):.1f}"
        if self.voi == "SIGMOID":
            made["VOILUTFunction"] = "SIGMOID"
        return made

    @property
    def tolerance(self) -> int:
        """Levels of grey; DCMTK rounds what a broken slope makes to whole numbers."""
        if self.rescale is None or self.rescale[0].is_integer():
            return 1
        if self.voi == "LUT":
            entries = int(self.rescale[0] * (1 << self.bits))
            return 1 + int(1.3 * 255 / entries)
        return 1 + int(0.5 * 255 / (float(self.tags["WindowWidth"]) - 1))

    def encoded(self) -> bytes:
        """The file."""
        if self.syntax == RLELossless:
            return compressed_dicom(self.values, self.syntax, bits=self.bits, **self.tags)
        if self.syntax not in (JPEGLosslessSV1, JPEGLSLossless):
            return dicom(self.values, syntax=self.syntax, bits=self.bits, **self.tags)
        ds = dicom_dataset(self.values, bits=self.bits, **self.tags)
        plain = self.values.view(f"u{self.values.dtype.itemsize}") & ((1 << self.bits) - 1)
        if self.syntax == JPEGLosslessSV1:
            stream = imagecodecs.jpeg_encode(
                plain, lossless=True, predictor=1, bitspersample=self.bits
            )
        else:
            stream = imagecodecs.jpegls_encode(plain)
        ds.PixelData = encapsulate([bytes(stream)])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        return dicom_bytes(ds, self.syntax)


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
def test_a_generated_file_looks_as_dcmtk_shows_it(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(case.encoded())
    ours = read_upload(path.read_bytes())
    theirs = rendered_by_dcmtk(path, case)
    assert ours.metadata.notes == []
    assert np.abs(ours.grey - theirs).max() <= case.tolerance
