"""What is refused before it is decoded."""

from dataclasses import dataclass

from cxr_serving.errors import PayloadTooLarge, Unprocessable


@dataclass(frozen=True)
class ImageLimits:
    """What is refused before it is decoded.

    A digital chest radiograph has 2 to 20 million pixels and is at most a little oblong; the limits
    leave room for scanned large radiographs and for strips that were cropped to one lung.
    """

    max_pixels: int = 50_000_000
    min_side_px: int = 32
    max_aspect_ratio: float = 5.0

    def check_size(self, width: int, height: int, kind: str) -> None:
        """Raise PayloadTooLarge or Unprocessable for the size that a header declares.

        Args:
            width: pixels, as declared.
            height: pixels, as declared.
            kind: how the file is called in the message, e.g. `PNG`.
        """
        if width <= 0 or height <= 0:
            raise Unprocessable(f"The {kind} declares a size of {width} x {height} pixels.")
        if width * height > self.max_pixels:
            raise PayloadTooLarge(
                f"The {kind} declares {width} x {height} pixels, {width * height / 1e6:.1f} "
                f"megapixels; at most {self.max_pixels / 1e6:g} are accepted.",
                max_pixels=self.max_pixels,
            )
        if min(width, height) < self.min_side_px:
            raise Unprocessable(
                f"The {kind} has {width} x {height} pixels; at least {self.min_side_px} a side "
                "are needed."
            )
        if max(width, height) > self.max_aspect_ratio * min(width, height):
            raise Unprocessable(
                f"The {kind} has {width} x {height} pixels; a radiograph is at most "
                f"{self.max_aspect_ratio:g} times as long as it is wide."
            )
