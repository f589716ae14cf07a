"""What intake hands on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr_gateway.core.schemas import DicomMetadata, ImageMetadata

GreyImage = NDArray[np.uint8]

NO_PATIENT = DicomMetadata(
    patient_id=None,
    name=None,
    birth_date=None,
    sex=None,
    accession_number=None,
    study_date=None,
    study_instance_uid=None,
    sop_instance_uid=None,
)


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A decoded PNG or JPEG.

    Attributes:
        grey: uint8 [H, W].
        refused: why the picture cannot be a radiograph, being in colour; None if it is grey.
    """

    grey: GreyImage
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A decoded upload: one upright grey picture and the facts about it.

    Attributes:
        grey: uint8 [H, W], 0 black (air) to 255 white (bone), C-contiguous, read-only.
        facts: width and height of `grey`, the view and the kind of file.
        patient: what a DICOM file says of the patient; all None for PNG and JPEG.
        refused: why the file's own DICOM tags, or its colours, say that this is no frontal chest
            radiograph; None if they do not say so.
    """

    grey: GreyImage
    facts: ImageMetadata
    patient: DicomMetadata
    refused: str | None
