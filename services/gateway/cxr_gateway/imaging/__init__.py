"""DecodedImage: one uploaded file in, one canonical grey image and the metadata about it out.

    read_upload(data, limits=Limits())
      sniff        which kind it is, by content
      PNG, JPEG    cxr_serving.imaging, which the inference services read with, too
      dicom        bounded parse, tags, codestream checks, pydicom's decoders, display lookup
    Decoder.stored
      stored       the greys of the file itself, before any window
    measure_quality, measure
      quality      whether a person could read it, and what is out of the ordinary
      statistics   what drift is computed from

Every refusal is an UnsupportedMedia (415), an Unprocessable (422) or a PayloadTooLarge (413)
whose sentence says what was found and what is accepted. Nothing is decoded before the size in
its header was checked.
"""

from cxr_gateway.imaging.limits import Limits
from cxr_gateway.imaging.read import read_upload
from cxr_gateway.imaging.result import NO_PATIENT, DecodedImage, StoredImage
from cxr_serving.imaging import GreyImage

__all__ = ["NO_PATIENT", "DecodedImage", "GreyImage", "Limits", "StoredImage", "read_upload"]
