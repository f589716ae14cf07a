"""DecodedImage: one uploaded file in, one canonical grey picture and the facts about it out.

    read_upload(data, limits=Limits())
      sniff        which kind it is, by content
      png, jpeg    header walk within the limits, then Pillow
      dicom_*      bounded parse, tags, codestream checks, pydicom's decoders, display lookup
      colour       grey out of colour files whose channels agree

Every refusal is an UnsupportedMedia (415), an Unprocessable (422) or a PayloadTooLarge (413)
whose sentence says what was found and what is accepted. Nothing is decoded before the size in
its header was checked.
"""

from cxr_gateway.imaging.limits import Limits
from cxr_gateway.imaging.read import read_upload
from cxr_gateway.imaging.result import NO_PATIENT, DecodedImage, GreyImage

__all__ = ["NO_PATIENT", "DecodedImage", "GreyImage", "Limits", "read_upload"]
