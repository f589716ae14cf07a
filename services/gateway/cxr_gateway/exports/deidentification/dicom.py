"""A DICOM file, de-identified: the data set cleaned, the pixels decoded and stored plainly.

A compressed image may carry comments of its own, bits above the stored ones may be an overlay,
and the 128 bytes before the file's mark may be anything: nothing of these is copied.
"""

import hashlib
from io import BytesIO
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from cxr_gateway.exports.deidentification.cleaning import cleaned
from cxr_gateway.exports.deidentification.pseudonyms import Pseudonyms
from cxr_gateway.imaging.decoders import Decoder
from cxr_gateway.imaging.dicom.file import read_dicom, read_whole_dicom
from cxr_gateway.imaging.dicom.header import read_header
from cxr_gateway.imaging.limits import Limits
from cxr_serving.errors import Unprocessable
from cxr_serving.imaging.decoding import decoding

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_OFFSETS = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")


def burned_in(data: bytes, limits: Limits) -> str | None:
    """What the file says of text in its image: YES, NO, or nothing."""
    with decoding("DICOM file"):
        ds, _ = read_whole_dicom(data, limits)
        said = str(ds.get("BurnedInAnnotation") or "").strip().upper()
        return said or None


def deidentified_dicom(
    data: bytes, pseudonyms: Pseudonyms, limits: Limits, decoder: Decoder
) -> bytes:
    """The file without its patient, in Explicit VR Little Endian.

    Args:
        data: the whole file.
        pseudonyms: of the installation.
        limits: of what is read.
        decoder: by which its pixels are decoded.

    Raises:
        Unprocessable: of several frames, or not to be read any more.
    """
    with decoding("DICOM file"):
        whole, syntax = read_whole_dicom(data, limits)
        pixels, _ = read_dicom(data, limits)
        header = read_header(pixels, limits)
        if header.frames > 1:
            raise Unprocessable("Only a file of one frame can be exported de-identified.")
        values = decoder.frame(BytesIO(data), limits)
        for keyword in (*_PIXELS, *_OFFSETS):
            if keyword in whole:
                del whole[keyword]
        kept = cleaned(whole, pseudonyms, big_endian=syntax == ExplicitVRBigEndian)
        # What the file left out and its reader assumed.
        kept.SamplesPerPixel, kept.PixelRepresentation = header.samples, int(header.is_signed)
        _put_pixels(kept, values)
        # Every file needs both; one that came without gets a UID that follows from its content.
        kept.SOPClassUID = kept.get("SOPClassUID") or SecondaryCaptureImageStorage
        kept.SOPInstanceUID = kept.get("SOPInstanceUID") or pseudonyms.uid(
            hashlib.sha256(data).hexdigest()
        )
        kept.file_meta = FileMetaDataset()
        kept.file_meta.MediaStorageSOPClassUID = kept.SOPClassUID
        kept.file_meta.MediaStorageSOPInstanceUID = kept.SOPInstanceUID
        kept.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        out = BytesIO()
        kept.save_as(out, implicit_vr=False, little_endian=True, enforce_file_format=True)
        return out.getvalue()


def _put_pixels(ds: Dataset, values: NDArray[Any]) -> None:
    bits = 8 * values.dtype.itemsize
    if values.ndim == 3:
        ds.PhotometricInterpretation, ds.PlanarConfiguration = "RGB", 0
    needed = int(values.max()).bit_length() + (values.dtype.kind == "i")
    ds.BitsAllocated = bits
    # A compressed image may have had more bits than its header said.
    ds.BitsStored = max(int(ds.BitsStored), min(needed, bits))
    ds.HighBit = ds.BitsStored - 1
    content = values.astype(values.dtype.newbyteorder("<")).tobytes()
    ds.PixelData = content + bytes(len(content) % 2)
    ds["PixelData"].VR = "OW" if bits > 8 else "OB"
