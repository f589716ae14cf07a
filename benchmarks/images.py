"""Uploads for the measurement: the public sample radiograph as PNG and DICOM, each file unique."""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

SIDE_PX = 1024
# Of a detector of today.
DICOM_ROWS, DICOM_COLUMNS = 3000, 2500
_NOISE_16_BIT = 64
_SAMPLE = "RG1_UNCI.dcm"
# Bytes of a PNG's signature and its IHDR chunk, after which a text chunk may stand.
_HEADER_LENGTH = 8 + 25


def sample_path() -> Path:
    """Where the sample lies."""
    path = get_testdata_file(_SAMPLE, download=False)
    if not isinstance(path, str):
        raise FileNotFoundError(f"{_SAMPLE} is not there; is `pydicom-data` installed?")
    return Path(path)


def _sample_grey() -> NDArray[np.float32]:
    """The sample [H, W], 0 black to 1 white."""
    dataset = dcmread(sample_path())
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    values = values.astype(np.float32)
    grey = (values - values.min()) / (values.max() - values.min())
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 1.0 - grey
    return np.asarray(grey, np.float32)


def sample_png() -> bytes:
    """The sample as an 8-bit grey PNG of 1024 x 1024 pixels."""
    grey = (_sample_grey() * 255).astype(np.uint8)
    image = Image.fromarray(grey).resize((SIDE_PX, SIDE_PX))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def unique_pngs(png: bytes) -> Iterator[bytes]:
    """`png` again and again, each with another comment: same image, other content hash."""
    for number in itertools.count():
        body = b"Comment\0" + str(number).encode()
        chunk = struct.pack(">I", len(body)) + b"tEXt" + body
        chunk += struct.pack(">I", zlib.crc32(b"tEXt" + body))
        yield png[:_HEADER_LENGTH] + chunk + png[_HEADER_LENGTH:]


def large_dicoms() -> Iterator[bytes]:
    """The sample enlarged to 3,000 x 2,500 pixels of 16 bits, with noise, as DICOM files."""
    image = Image.fromarray(_sample_grey()).resize((DICOM_COLUMNS, DICOM_ROWS))
    draw = np.random.default_rng(0)
    noise = draw.integers(-_NOISE_16_BIT, _NOISE_16_BIT, (DICOM_ROWS, DICOM_COLUMNS))
    values = np.clip(np.asarray(image) * 65535 + noise, 0, 65535).astype(np.uint16)
    yield from unique_dicoms(values, bits=16)


def unique_dicoms(values: NDArray[np.uint16], *, bits: int) -> Iterator[bytes]:
    """One image again and again as an uncompressed DICOM file, each with UIDs of its own.

    Args:
        values: [rows, columns], 0 black to 2**bits - 1 white.
        bits: that are stored of each 16, 8 to 16.
    """
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = DigitalXRayImageStorageForPresentation
    made.PresentationIntentType = "FOR PRESENTATION"
    made.Modality, made.BodyPartExamined, made.ViewPosition = "DX", "CHEST", "PA"
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = values.shape
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, bits, bits - 1
    made.PixelRepresentation = 0
    made.WindowCenter, made.WindowWidth = 2 ** (bits - 1), 2**bits
    made.PixelData = values.astype("<u2").tobytes()
    made["PixelData"].VR = "OW"
    while True:
        made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        stream = io.BytesIO()
        made.save_as(stream, enforce_file_format=True)
        yield stream.getvalue()
