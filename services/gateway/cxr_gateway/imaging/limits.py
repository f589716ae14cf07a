"""How large an upload may be: in bytes here, in pixels as the readers have it."""

from dataclasses import dataclass

from cxr_serving.errors import PayloadTooLarge
from cxr_serving.imaging import ImageLimits


@dataclass(frozen=True)
class Limits(ImageLimits):
    """What intake refuses before it decodes anything."""

    max_bytes: int = 50_000_000

    def check_bytes(self, n_bytes: int) -> None:
        """Raise PayloadTooLarge if a file of `n_bytes` is over the limit."""
        if n_bytes > self.max_bytes:
            raise PayloadTooLarge(
                f"The file has {n_bytes / 1e6:.1f} MB; at most {self.max_bytes / 1e6:g} MB "
                "are accepted.",
                max_bytes=self.max_bytes,
            )
