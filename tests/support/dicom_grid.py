"""Generated radiographs over a grid of what DICOM lets a file say of its values."""

from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from support.dicom_images import compressed_dicom, dicom, dicom_bytes, dicom_dataset
from support.images import radiograph_like

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
        if self.syntax in (RLELossless, JPEG2000Lossless):
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
