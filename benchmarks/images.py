"""Uploads for the measurement: the public sample radiograph at 1024 x 1024, each file unique."""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

SIDE_PX = 1024
_SAMPLE = "RG1_UNCI.dcm"
# Bytes of a PNG's signature and its IHDR chunk, after which a text chunk may stand.
_HEADER_LENGTH = 8 + 25


def sample_path() -> Path:
    """Where the sample lies."""
    path = get_testdata_file(_SAMPLE, download=False)
    if not isinstance(path, str):
        raise FileNotFoundError(f"{_SAMPLE} is not there; is `pydicom-data` installed?")
    return Path(path)


def sample_png() -> bytes:
    """The sample as an 8-bit grey PNG of 1024 x 1024 pixels."""
    dataset = dcmread(sample_path())
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    values = values.astype(np.float32)
    grey = (values - values.min()) / (values.max() - values.min())
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 1.0 - grey
    image = Image.fromarray((grey * 255).astype(np.uint8)).resize((SIDE_PX, SIDE_PX))
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
