"""Real files broken in ways that get past check sums and length fields.

Everything is drawn from one `random.Random`, so that its seed gives the same bytes again.
"""

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import imagecodecs
import numpy as np
import pydicom.data
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from support.dicom_images import compressed_dicom, dicom, dicom_bytes, dicom_dataset
from support.images import encoded, radiograph_like
from support.structures import jpeg_of, jpeg_segments, png_chunks, png_of

# Larger ones would be a test of patience: what breaks is in headers and the first rows.
_LARGEST_SAMPLE = 12_000
_GREY = radiograph_like(48, 40)
_DEEP = _GREY.astype(np.uint16) * 16

Mutation = Callable[[Random], bytes]


def _samples() -> list[bytes]:
    """The small DICOM files of pydicom's own tests, and files written here, one for each syntax."""
    folder = Path(str(pydicom.data.__file__)).parent / "test_files"
    shipped = [
        path.read_bytes()
        for path in sorted(folder.rglob("*.dcm"))
        if path.stat().st_size <= _LARGEST_SAMPLE
    ]
    windowed: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096, "PixelPaddingValue": 0}
    written = [
        dicom(_DEEP, bits=12, syntax=ImplicitVRLittleEndian, **windowed),
        dicom(_DEEP, bits=12, **windowed),
        dicom(_DEEP, bits=12, syntax=ExplicitVRBigEndian),
        dicom(_DEEP, bits=12, syntax=DeflatedExplicitVRLittleEndian),
        compressed_dicom(_DEEP, RLELossless, bits=12),
        compressed_dicom(_DEEP, JPEG2000Lossless, bits=12),
    ]
    # Twice: half of the shipped ones are refused for what they show, which says little of decoding.
    return [*shipped, *written, *written]


_DICOM = _samples()
_PNG = [encoded(_GREY), encoded(_DEEP), encoded(np.dstack([_GREY] * 3))]
_JPEG = [encoded(_GREY, "JPEG"), encoded(np.dstack([_GREY] * 3), "JPEG")]
_STREAMS = {
    JPEG2000Lossless: bytes(imagecodecs.jpeg2k_encode(_GREY, level=0, codecformat="j2k")),
    JPEGLSLossless: bytes(imagecodecs.jpegls_encode(_GREY)),
    JPEGLosslessSV1: bytes(imagecodecs.jpeg_encode(_GREY, lossless=True, predictor=1)),
    JPEGBaseline8Bit: bytes(imagecodecs.jpeg_encode(_GREY)),
}
# Numbers at which counters and sizes turn over.
_EDGES = (0, 1, 2, 7, 8, 15, 16, 17, 32, 127, 128, 255, 256, 32_767, 32_768, 65_535)
_WIDE = (*_EDGES, 65_536, 2**31 - 1, 2**31, 2**32 - 1)
_TEXTS = ("", "0", "-1", "1e308", "-1e308", "1e-308", "NaN", "1,0", "1\\2", "X" * 70, "LINEAR")
_TAGS = {
    "numbers": [
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "SamplesPerPixel",
        "PlanarConfiguration",
        "PixelPaddingValue",
        "SmallestImagePixelValue",
    ],
    "texts": [
        "NumberOfFrames",
        "WindowCenter",
        "WindowWidth",
        "RescaleSlope",
        "RescaleIntercept",
        "VOILUTFunction",
        "PhotometricInterpretation",
        "PresentationLUTShape",
        "PixelAspectRatio",
        "PatientOrientation",
        "SpecificCharacterSet",
        "PatientID",
        "PatientName",
        "BodyPartExamined",
        "Modality",
        "ViewPosition",
        "BurnedInAnnotation",
        "PixelSpacing",
        "StudyDate",
        "PatientBirthDate",
    ],
}


def changed_bytes(random: Random, data: bytes) -> bytes:
    """`data` with pieces overwritten, repeated, left out, put in or cut off."""
    made = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        at = random.randrange(len(made) + 1)
        size = min(random.choice((1, 1, 2, 4, 8, 64)), len(made) - at)
        match random.randrange(6):
            case 0 | 1:
                made[at : at + size] = random.randbytes(size)
            case 2:
                number = random.choice(_WIDE) & (256**4 - 1)
                made[at : at + size] = struct.pack(random.choice("<>") + "L", number)[:size]
            case 3:
                made[at:at] = made[at : at + size] * random.choice((1, 2, 20))
            case 4:
                del made[at : at + size]
            case _:
                if random.random() < 0.3:
                    del made[at:]
                else:
                    made[at:at] = random.randbytes(size)
        if not made:
            break
    return bytes(made)


def dicom_bytes_changed(random: Random) -> bytes:
    """A DICOM file with bytes changed anywhere, more often in its header."""
    data = random.choice(_DICOM)
    if random.random() < 0.5:
        return changed_bytes(random, data)
    head = random.randrange(132, min(len(data), 1500) + 1) if len(data) > 132 else len(data)
    return changed_bytes(random, data[:head]) + data[head:]


def dicom_elements_changed(random: Random) -> bytes:
    """A DICOM file that is whole, with elements of senseless value, missing, or in a sequence."""
    dataset = dicom_dataset(_DEEP if random.random() < 0.7 else _GREY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(random.randrange(1, 5)):
            kind = random.choice(("numbers", "texts", "texts", "pixels", "gone"))
            if kind == "numbers":
                setattr(dataset, random.choice(_TAGS[kind]), random.choice(_EDGES))
            elif kind == "texts":
                try:
                    setattr(dataset, random.choice(_TAGS[kind]), random.choice(_TEXTS))
                except (ValueError, TypeError, OverflowError):
                    continue  # pydicom would not write it; other mutations change bytes
            elif kind == "pixels" and "PixelData" in dataset:
                dataset.PixelData = bytes(dataset.PixelData)[: 2 * random.randrange(2000)]
            elif kind == "gone":
                del dataset[random.choice(list(dataset.keys()))]
        syntax = random.choice((ImplicitVRLittleEndian, ExplicitVRBigEndian, None))
        try:
            return dicom_bytes(dataset, syntax) if syntax else dicom_bytes(dataset)
        except (ValueError, TypeError, AttributeError, KeyError, OSError, OverflowError):
            return changed_bytes(random, random.choice(_DICOM))


def dicom_fragments_changed(random: Random) -> bytes:
    """Compressed pixels cut into items of any size, repeated, swapped and changed."""
    syntax = random.choice(list(_STREAMS))
    stream = _STREAMS[syntax]
    if random.random() < 0.7:
        stream = changed_bytes(random, stream)
    items = b""
    for _ in range(random.randrange(1, 5)):
        at = 0 if random.random() < 0.6 else random.randrange(len(stream) + 1)
        content = stream[at : at + random.choice((len(stream), 2000, 200, 3))]
        said = len(content) if random.random() < 0.8 else random.choice(_WIDE)
        items += b"\xfe\xff\x00\xe0" + struct.pack("<L", said) + content
    end = random.choice((bytes.fromhex("feffdde000000000"), b"", bytes(8)))
    dataset = dicom_dataset(_GREY)
    if random.random() < 0.3:
        setattr(dataset, random.choice(_TAGS["numbers"][:7]), random.choice(_EDGES))
    dataset.PixelData = items
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dicom_bytes(dataset, syntax)[:-8] + end


def png_bytes_changed(random: Random) -> bytes:
    """A PNG file with bytes changed; its check sums rarely hold."""
    return changed_bytes(random, random.choice(_PNG))


def png_chunks_changed(random: Random) -> bytes:
    """PNG chunks changed, repeated, left out or in another order; every check sum holds."""
    chunks = png_chunks(random.choice(_PNG))
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(chunks))
        name, body = chunks[at]
        match random.randrange(5):
            case 0:
                chunks[at] = (name, changed_bytes(random, body) if body else b"\0")
            case 1 if name == b"IDAT":
                try:
                    rows = zlib.decompress(body)
                except zlib.error:
                    continue
                chunks[at] = (name, zlib.compress(changed_bytes(random, rows), 1))
            case 2 if name == b"IHDR" and len(body) >= 8:
                width, height = random.choice(_WIDE), random.choice(_WIDE)
                chunks[at] = (name, struct.pack(">LL", width, height) + body[8:])
            case 3:
                chunks.insert(at, random.choice(chunks))
            case _:
                random.shuffle(chunks) if random.random() < 0.3 else chunks.pop(at)
        if not chunks:
            break
    return png_of(chunks)


def jpeg_bytes_changed(random: Random) -> bytes:
    """A JPEG file with bytes changed."""
    return changed_bytes(random, random.choice(_JPEG))


def jpeg_segments_changed(random: Random) -> bytes:
    """JPEG segments changed, repeated, left out or in another order, before a changed scan."""
    segments, scan = jpeg_segments(random.choice(_JPEG))
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(segments))
        marker, body = segments[at]
        match random.randrange(4):
            case 0:
                segments[at] = (marker, changed_bytes(random, body) if body else b"\0")
            case 1:
                segments[at] = (bytes([0xFF, random.randrange(0xC0, 0xFF)]), body)
            case 2:
                segments.insert(at, random.choice(segments))
            case _:
                segments.pop(at)
        if not segments:
            break
    return jpeg_of(segments, changed_bytes(random, scan) if random.random() < 0.5 else scan)


def beginning_then_noise(random: Random) -> bytes:
    """The first bytes of a real file, and then anything."""
    data = random.choice((*_DICOM, *_PNG, *_JPEG))
    return data[: random.choice((0, 2, 8, 132, 140, 400))] + random.randbytes(
        random.randrange(2048)
    )


MUTATIONS: dict[str, Mutation] = {
    "DICOM, bytes changed": dicom_bytes_changed,
    "DICOM, elements of any value": dicom_elements_changed,
    "DICOM, compressed pixels in any items": dicom_fragments_changed,
    "PNG, bytes changed": png_bytes_changed,
    "PNG, chunks changed, check sums right": png_chunks_changed,
    "JPEG, bytes changed": jpeg_bytes_changed,
    "JPEG, segments changed": jpeg_segments_changed,
    "the beginning of a file, then noise": beginning_then_noise,
}


def mutated(kind: str, seed: int) -> bytes:
    """The bytes that mutation `kind` makes from `seed`."""
    return MUTATIONS[kind](Random(f"{kind} {seed}"))
