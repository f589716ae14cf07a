"""What imaging hands on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cxr_gateway.core.schemas import DicomMetadata, ImageMetadata, StoredGreys
from cxr_serving.imaging import GreyImage

NO_PATIENT = DicomMetadata(
    patient_id=None,
    issuer_of_patient_id=None,
    name=None,
    birth_date=None,
    sex=None,
    accession_number=None,
    study_date=None,
    study_instance_uid=None,
    sop_instance_uid=None,
)


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A decoded upload: one upright grey image and the metadata about it.

    Attributes:
        grey: uint8 [H, W], 0 black (air) to 255 white (bone), C-contiguous, read-only.
        metadata: width and height of `grey`, the view and the kind of file.
        patient: what a DICOM file says of the patient; all None for PNG and JPEG.
        refused: why the file's own DICOM tags, or its colours, say that this is no frontal chest
            radiograph; None if they do not say so.
        how: how a DICOM file was read, for whoever has to explain it: what was done, and by what.
    """

    grey: GreyImage
    metadata: ImageMetadata
    patient: DicomMetadata
    refused: str | None
    how: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredImage:
    """The greys of an upload before any window.

    Attributes:
        values: uint16 [H, W], as large as the displayed image and turned like it; a greater value
            is brighter. Where the file was bright for air, and where it counts from below 0, the
            values are those of the file turned round, or counted from the smallest possible one.
        greys: what they are.
    """

    values: NDArray[np.uint16]
    greys: StoredGreys
