"""Boxes in the pixels that the uploaded file stores, as a DICOM object that refers to it has them.

An image is shown with square pixels and hung as usual; boxes are in pixels of what is shown.
"""

from cxr_gateway.core.schemas import Box, ImageMetadata
from cxr_serving.imaging import SIDEWAYS, before_turning

Corners = tuple[float, float, float, float]


def box_in_stored_pixels(box: Box, image: ImageMetadata) -> Corners:
    """A box of a study in columns and rows of its file, from the upper left corner of the first.

    Args:
        box: in pixels of the image as displayed.
        image: the study's; one from before its stored pixels were kept was displayed as stored.

    Returns:
        The least column and row, then the greatest, each between 0 and the file's columns or rows.
    """
    if image.stored is None:
        return box.x_min, box.y_min, box.x_max, box.y_max
    stored = image.stored
    first, last = (
        before_turning(x, y, image.width, image.height, stored.orientation)
        for x, y in ((box.x_min, box.y_min), (box.x_max, box.y_max))
    )
    is_sideways = stored.orientation in SIDEWAYS
    width, height = (image.height, image.width) if is_sideways else (image.width, image.height)
    columns = sorted(min(max(x, 0), width) * stored.columns / width for x in (first[0], last[0]))
    rows = sorted(min(max(y, 0), height) * stored.rows / height for y in (first[1], last[1]))
    return columns[0], rows[0], columns[1], rows[1]
