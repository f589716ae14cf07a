"""An archived study as a file that says nothing of its patient: DICOM of DICOM, PNG of the others.

The profile does not look into the image. A file that says that text is burnt into it is not
exported; where nothing is known, someone has to have looked and say so.
"""

from io import BytesIO

from cxr_gateway.archive import Archive, StoredStudy
from cxr_gateway.archive.pseudonym_key import pseudonym_key
from cxr_gateway.core.errors import TextInImage
from cxr_gateway.core.schemas import ImageSource
from cxr_gateway.exports.deidentification.dicom import burned_in, deidentified_dicom
from cxr_gateway.exports.deidentification.pseudonyms import Pseudonyms
from cxr_gateway.exports.workers import Exported, Workers
from cxr_gateway.imaging import Limits
from cxr_gateway.imaging.decoders import Decoder
from cxr_gateway.rendering import render_image

# What was accepted once can be exported later, whatever the limits are by then.
_LIMITS = Limits(max_bytes=1 << 40, max_pixels=1 << 40)


class Exports:
    """Exports studies of an archive."""

    def __init__(self, archive: Archive, workers: Workers) -> None:
        self._archive = archive
        self._workers = workers

    async def of(self, study_id: str, department: str | None, *, reviewed: bool) -> Exported:
        """The study, de-identified; see `export_study`.

        Raises:
            NotFound: no such study, another department's, or its original is missing.
            TextInImage: it may show a name.
            Unprocessable: a DICOM file of several frames.
        """
        archive = self._archive
        stored = await archive.get(study_id, department)
        content = await archive.in_thread(archive.files.read, stored.id, stored.original)
        pseudonyms = Pseudonyms(await archive.in_thread(pseudonym_key, archive.engine))
        return await self._workers.in_thread(
            export_study, stored, content, pseudonyms, reviewed, self._workers.decoder
        )


def export_study(
    stored: StoredStudy, content: bytes, pseudonyms: Pseudonyms, reviewed: bool, decoder: Decoder
) -> Exported:
    """De-identify a study's original.

    Args:
        stored: the study.
        content: its original.
        pseudonyms: of the installation.
        reviewed: whether someone says that the image shows no text about a patient.
        decoder: by which it is decoded.
    """
    is_dicom = stored.source is ImageSource.DICOM
    check_burned_in(burned_in(content, _LIMITS) if is_dicom else None, reviewed)
    # Two files may carry the same UID, and a study's id says when it came.
    name = pseudonyms.uid(stored.id)
    if is_dicom:
        cleaned = deidentified_dicom(content, pseudonyms, _LIMITS, decoder)
        return Exported(f"{name}.dcm", "application/dicom", cleaned)
    grey = decoder.decode(BytesIO(content), _LIMITS).grey
    return Exported(f"{name}.png", "image/png", render_image(grey))


def check_burned_in(annotation: str | None, reviewed: bool) -> None:
    """Raise TextInImage unless the image may leave: NO, or unknown and looked at."""
    if annotation == "NO" or (annotation != "YES" and reviewed):
        return
    if annotation == "YES":
        raise TextInImage(
            "The file says that text is burnt into its image (Burned In Annotation is YES); the "
            "profile does not remove it, so the file is not exported."
        )
    raise TextInImage(
        "Nobody knows whether text about the patient is burnt into this image, and the profile "
        "does not look. Look at it; if there is none, ask again and say that it was reviewed."
    )
