"""What needs no network: images too small, too long or too empty to be a radiograph."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field


class OodRules(BaseModel):
    """Limits of the OOD detector, from the manifest's `extra`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_side_px: int = Field(gt=0, description="Below this an image cannot be evaluated.")
    max_aspect_ratio: float = Field(gt=1, description="Longer side by shorter side.")
    min_contrast: float = Field(
        ge=0, description="Least standard deviation of the canonical image, grey values 0..1."
    )


def refuse_shape(height: int, width: int, rules: OodRules) -> str | None:
    """Why an image of this size in pixels is refused, or None."""
    ratio = max(height, width) / min(height, width)
    if min(height, width) < rules.min_side_px:
        return (
            f"The image is too small to evaluate: {width} x {height} px, "
            f"at least {rules.min_side_px} px a side are needed."
        )
    if ratio > rules.max_aspect_ratio:
        return (
            f"The image is {ratio:.1f} times as long as it is wide, "
            f"a chest radiograph at most {rules.max_aspect_ratio:g} times."
        )
    return None


def refuse_blank(image: NDArray[np.float32], rules: OodRules) -> str | None:
    """Why a canonical image (float32 in 0..1) holds too little to tell, or None."""
    if float(image.std()) < rules.min_contrast:
        return "The image is blank: it has next to no contrast."
    return None
