"""PNG and JPEG to grey images: one decoder, with its limits, for the gateway and the services.

    decode_file, decode_grey
      png, jpeg      header walk within the limits, then Pillow
      colour         grey out of colour files whose channels agree
      depth          16 bits to 8
      orientation    the turns that EXIF asks for

Nothing is decoded before the size in its header was checked.
"""

from cxr_serving.imaging.decode import ACCEPTED, decode_file, decode_grey, sniff
from cxr_serving.imaging.depth import DEPTHS, bit_depth, grey_of_16_bit
from cxr_serving.imaging.limits import ImageLimits
from cxr_serving.imaging.orientation import (
    SIDEWAYS,
    UPRIGHT,
    before_turning,
    orientation_by,
    orientation_of,
    upright,
)
from cxr_serving.imaging.png import values_of_16_bit_png
from cxr_serving.imaging.result import DecodedImage, GreyImage

__all__ = [
    "ACCEPTED",
    "DEPTHS",
    "SIDEWAYS",
    "UPRIGHT",
    "DecodedImage",
    "GreyImage",
    "ImageLimits",
    "before_turning",
    "bit_depth",
    "decode_file",
    "decode_grey",
    "grey_of_16_bit",
    "orientation_by",
    "orientation_of",
    "sniff",
    "upright",
    "values_of_16_bit_png",
]
