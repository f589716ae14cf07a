"""What imaging makes of one file, step by step, for whoever has to say why it was refused.

Nothing of the patient is told: of an element that names one only whether it is there and whole.
"""

from dataclasses import asdict
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset

from cxr_gateway.core.schemas import ImageMetadata, ImageSource, StoredPixels
from cxr_gateway.imaging.decoders import Decoder
from cxr_gateway.imaging.dicom.file import read_dicom
from cxr_gateway.imaging.dicom.metadata import IDENTIFIERS
from cxr_gateway.imaging.dicom.tags import (
    code_string,
    identifier,
    is_present,
    items,
    tag_name,
    whole_text,
)
from cxr_gateway.imaging.limits import Limits
from cxr_gateway.imaging.quality import measure_quality
from cxr_gateway.imaging.result import DecodedImage
from cxr_gateway.imaging.sniff import sniff
from cxr_gateway.imaging.statistics import measure
from cxr_serving.errors import ServiceError
from cxr_serving.imaging import SIDEWAYS
from cxr_serving.imaging.decoding import decoding, plain
from cxr_serving.sniffing import describe

# In the order in which imaging asks for them.
_DECIDING = (
    "SOPClassUID", "TransferSyntaxUID", "SpecificCharacterSet", "Modality", "BodyPartExamined",
    "AnatomicRegionSequence", "ViewPosition", "ViewCodeSequence", "PatientOrientation",
    "PresentationIntentType", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation",
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "ModalityLUTSequence",
    "RescaleSlope", "RescaleIntercept", "VOILUTSequence", "WindowCenter", "WindowWidth",
    "VOILUTFunction", "PixelPaddingValue", "PixelPaddingRangeLimit",
)  # fmt: skip
_CODES = ("AnatomicRegionSequence", "ViewCodeSequence")
_TURNS = {
    2: "mirrored left to right", 3: "turned by 180 degrees", 4: "mirrored top to bottom",
    5: "rows and columns exchanged", 6: "turned by 90 degrees clockwise",
    7: "rows and columns exchanged, turned by 180 degrees", 8: "turned by 270 degrees clockwise",
}  # fmt: skip

Explanation = dict[str, Any]


def explain(
    data: bytes, limits: Limits, decoder: Decoder
) -> tuple[Explanation, DecodedImage | None]:
    """What is found and done, in the order in which it happens, and the image if there is one.

    Args:
        data: the whole file.
        limits: as uploads have them.
        decoder: likewise.

    Returns:
        `file`, `tags` of a DICOM file, `reading` and `image` where it could be read, `notes`,
        `statistics`, `quality`, and `outcome`, `reason` of imaging's decision: `accepted`,
        `rejected` (a study that is not analysed) or `refused` (no study).
    """
    source = sniff(data)
    kind = source.value if source is not None else describe(data)
    told: Explanation = {"file": {"bytes": len(data), "kind": kind}}
    try:
        if source is ImageSource.DICOM:
            told["tags"] = _tags(data, limits)
        image = decoder.decode(BytesIO(data), limits)
    except ServiceError as refusal:
        told |= {"outcome": "refused", "status": refusal.status, "reason": refusal.detail}
        return told, None
    if image.how:
        told["reading"] = dict(image.how)
    quality = measure_quality(image.grey)
    if image.metadata.stored is not None:
        told["image"] = _geometry(image.metadata, image.metadata.stored)
    told["notes"] = image.metadata.notes
    told["statistics"] = asdict(measure(image.grey))
    told["quality"] = quality.model_dump()
    reason = image.refused or quality.unreadable
    told |= {"outcome": "accepted" if reason is None else "rejected", "reason": reason}
    return told, image


def _tags(data: bytes, limits: Limits) -> dict[str, str]:
    with decoding("DICOM file"):
        ds, syntax = read_dicom(data, limits)
        told = {"TransferSyntaxUID (0002,0010)": f"{plain(syntax.name)} ({plain(syntax)})"}
        for keyword in _DECIDING[:1] + _DECIDING[2:]:
            if keyword in ds:
                told[tag_name(keyword)] = _value(ds, keyword)
        for keyword in IDENTIFIERS.values():
            read = whole_text if keyword == "PatientName" else identifier
            whole = read(ds, keyword) is not None
            if is_present(ds, keyword):
                told[tag_name(keyword)] = "present" if whole else "present, not shown whole"
        return told


def _value(ds: Dataset, keyword: str) -> str:
    if not is_present(ds, keyword):
        return "empty"
    if keyword in _CODES:
        parts = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
        codes = [[code_string(item, part) or "-" for part in parts] for item in items(ds, keyword)]
        return "; ".join(", ".join(code) for code in codes) or "no item"
    if keyword.endswith("Sequence"):
        return f"{len(items(ds, keyword))} item(s)"
    if keyword == "SOPClassUID":
        uid = ds.SOPClassUID
        return f"{plain(uid.name)} ({plain(uid)})" if uid.name != uid else plain(uid)
    return whole_text(ds, keyword) or "not readable"


def _geometry(metadata: ImageMetadata, stored: StoredPixels) -> dict[str, Any]:
    width, height = metadata.width, metadata.height
    if stored.orientation in SIDEWAYS:
        width, height = height, width
    made_square = (width, height) != (stored.columns, stored.rows)
    return {
        "stored": f"{stored.columns} x {stored.rows}",
        "displayed": f"{metadata.width} x {metadata.height}",
        "pixels": "made square" if made_square else "square",
        "orientation": _TURNS.get(stored.orientation, "as stored"),
        "view": metadata.view,
    }
