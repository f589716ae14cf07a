"""DICOM (PS3) to a DecodedImage: tags first, then the header, then the pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from cxr_gateway.core.schemas import ImageMetadata, ImageSource, PixelSpacing, StoredPixels
from cxr_gateway.imaging.dicom.display import Rendered, to_grey, to_levels
from cxr_gateway.imaging.dicom.file import read_dicom
from cxr_gateway.imaging.dicom.geometry import hung, spacing_of, squared, turn_of
from cxr_gateway.imaging.dicom.header import PixelHeader, read_header, require_radiograph
from cxr_gateway.imaging.dicom.metadata import metadata_of
from cxr_gateway.imaging.dicom.pixels import check_syntax, first_frame
from cxr_gateway.imaging.dicom.suitability import refusal_by_tags, view_of
from cxr_gateway.imaging.dicom.tags import code_string, tag_name
from cxr_gateway.imaging.limits import Limits
from cxr_gateway.imaging.result import DecodedImage
from cxr_serving.imaging import UPRIGHT, GreyImage
from cxr_serving.imaging.colour import grey_of_rgb
from cxr_serving.imaging.decoding import decoding


def decode_dicom(data: bytes, limits: Limits) -> DecodedImage:
    """One DICOM file; what is no single grey frame is decoded only where the tags refuse it anyway.

    A file whose tags name another modality, body part or view is not an error: it becomes a
    rejected study, shown by its first frame. Everything else has to be a radiograph.

    Raises:
        UnsupportedMedia: not DICOM after all.
        Unprocessable: the tag at fault is named.
        PayloadTooLarge: too many pixels, by the header.
    """
    with decoding("DICOM file"):
        ds, syntax = read_dicom(data, limits)
        refused = refusal_by_tags(ds)
        header = read_header(ds, limits)
        check_syntax(syntax)
        if refused is None:
            require_radiograph(header, ds)
        frame = first_frame(ds, syntax, header)
        rendered = _rendered(frame.values, ds, header)
        refused = refused or rendered.in_colour
        grey, orientation, turned = rendered.grey, UPRIGHT, list[str]()
        if refused is None:
            grey, orientation, turned = _as_displayed(grey, ds, limits)
        metadata, left_out = metadata_of(ds)
        height, width = grey.shape
        image = ImageMetadata(
            width=width,
            height=height,
            view=view_of(ds),
            source=ImageSource.DICOM,
            notes=[*rendered.notes, *turned, *left_out, *_intent(ds)],
            stored=StoredPixels(columns=header.columns, rows=header.rows, orientation=orientation),
        )
        how = {
            "transfer syntax": f"{syntax.name} ({syntax})",
            "decoder": frame.decoder,
            "stored values": rendered.stored,
            "shown by": rendered.shown_by,
        }
        return DecodedImage(grey, image, metadata, refused, how)


@dataclass(frozen=True, slots=True)
class StoredValues:
    """Stored values, hung as displayed: uint16 [H, W]; see `StoredGreys` for the rest."""

    values: NDArray[np.uint16]
    black: float
    white: float
    spacing: PixelSpacing | None
    sided: bool


def decode_stored(data: bytes, limits: Limits) -> StoredValues | None:
    """The stored greys of a DICOM radiograph; None of a file that is refused, or in colour.

    Raises:
        As `decode_dicom`.
    """
    with decoding("DICOM file"):
        ds, syntax = read_dicom(data, limits)
        header = read_header(ds, limits)
        check_syntax(syntax)
        if refusal_by_tags(ds) is not None or not header.is_grey:
            return None
        values = first_frame(ds, syntax, header).values
        if values.dtype.itemsize > 2:
            return None
        levels, black, white = to_levels(values, ds, header)
        rows = levels.shape[0]
        levels, _ = squared(levels, ds, limits)
        spacing = spacing_of(ds, rows / levels.shape[0])
        levels, _, _ = hung(levels, ds)
        return StoredValues(levels, black, white, spacing, sided=turn_of(ds) is not None)


def _as_displayed(grey: GreyImage, ds: Dataset, limits: Limits) -> tuple[GreyImage, int, list[str]]:
    """Square pixels first: rows and columns are still those of the file's spacing."""
    grey, stretched = squared(grey, ds, limits)
    grey, orientation, turned = hung(grey, ds)
    return grey, orientation, stretched + turned


def _intent(ds: Dataset) -> list[str]:
    if (code_string(ds, "PresentationIntentType") or "").upper() != "FOR PROCESSING":
        return []
    return [
        f"{tag_name('PresentationIntentType')} is FOR PROCESSING: these are raw detector values, "
        "which look other than the image that is made for display."
    ]


def _rendered(values: NDArray[Any], ds: Dataset, header: PixelHeader) -> Rendered:
    if header.photometric == "PALETTE COLOR":
        _put_tables_in_order(ds)
        values = apply_color_lut(values, ds)
    if values.ndim == 3:
        red, green, blue = np.moveaxis(_to_8_bits(values), 2, 0)
        grey, in_colour = grey_of_rgb(red, green, blue, "DICOM file")
        return Rendered(grey, "colour", "the luma of three channels", [], in_colour)
    if values.dtype.itemsize > 2:
        return Rendered(_stretched(values), f"{values.dtype}", "the range of the values", [])
    return to_grey(values, ds, header)


def _put_tables_in_order(ds: Dataset) -> None:
    """Make little endian words of a palette's; pydicom takes them for that in every file."""
    if ds.original_encoding[1] is not False:
        return
    for colour in ("Red", "Green", "Blue"):
        keyword = f"{colour}PaletteColorLookupTableData"
        words = ds.get(keyword)
        if isinstance(words, bytes):
            setattr(
                ds, keyword, np.frombuffer(words, ">u2", len(words) // 2).astype("<u2").tobytes()
            )


def _to_8_bits(values: NDArray[Any]) -> GreyImage:
    shift = 8 * (values.dtype.itemsize - 1)
    return (values.astype(np.uint32) >> shift).astype(np.uint8) if shift else values


def _stretched(values: NDArray[Any]) -> GreyImage:
    """Dose maps and the like, which are only shown to say what was rejected."""
    low, high = float(values.min()), float(values.max())
    return np.rint((values - low) * (255.0 / max(high - low, 1.0))).astype(np.uint8)
