"""Results of archived studies as DICOM files, made when they are asked for."""

from enum import StrEnum
from functools import partial
from io import BytesIO
from typing import Literal

from pydicom.dataset import Dataset

from cxr_contracts import Finding
from cxr_gateway.archive import Archive, StoredStudy
from cxr_gateway.core.schemas import ImageSource, StudyStatus
from cxr_gateway.exports.dicom.source import Source, read_source
from cxr_gateway.exports.hl7_v2 import MEDIA_TYPE, Receiver, oru
from cxr_gateway.exports.workers import Exported, Workers
from cxr_gateway.imaging import Limits
from cxr_gateway.imaging.decoders import Decoder
from cxr_gateway.rendering.cache import overlay_png
from cxr_serving.errors import NotFound, Unprocessable

DICOM = "application/dicom"
_LIMITS = Limits(max_bytes=1 << 40, max_pixels=1 << 40)
ReportKind = Literal["3d", "2d"]


class Result(StrEnum):
    """What there is of a study."""

    FINDINGS = "findings"
    BOXES = "boxes"
    PRESENTATION_STATE = "presentation-state"
    SECONDARY_CAPTURE = "secondary-capture"
    HEAT_MAP = "heat-map"
    PDF = "pdf"


class DicomResults:
    """Makes them of an archive's studies."""

    def __init__(self, archive: Archive, workers: Workers) -> None:
        self._archive = archive
        self._workers = workers

    async def of(
        self,
        study_id: str,
        department: str | None,
        result: Result,
        kind: ReportKind = "3d",
        *,
        explained: bool = False,
    ) -> Exported:
        """One result of a study; see `make_result`.

        Raises:
            NotFound: no such study, another department's, or it has no such result.
            Unprocessable: it did not come as a DICOM file, or as one that names no study.
        """
        archive = self._archive
        stored = await archive.get(study_id, department)
        content = await archive.in_thread(archive.files.read, stored.id, stored.original)
        make = partial(make_result, kind=kind, explained=explained)
        return await self._workers.in_thread(make, stored, content, result, self._workers.decoder)

    async def message(self, study_id: str, department: str | None, receiver: Receiver) -> Exported:
        """A study's result as an HL7 v2 message; raises as `of`."""
        archive = self._archive
        stored = await archive.get(study_id, department)
        content = await archive.in_thread(archive.files.read, stored.id, stored.original)
        return await self._workers.in_thread(make_message, stored, content, receiver)

    async def header(self, stored: StoredStudy) -> Dataset:
        """Patient and study of an archived DICOM file, as its results have them."""
        content = await self._archive.in_thread(
            self._archive.files.read, stored.id, stored.original
        )
        source = await self._workers.in_thread(read_source, content)
        return source.header


def make_message(stored: StoredStudy, content: bytes, receiver: Receiver) -> Exported:
    """A study's result as ORU^R01."""
    _check(stored)
    text = oru(stored.study, read_source(content), receiver)
    return Exported(f"{stored.study.id}.hl7", MEDIA_TYPE, text.encode())


def _check(stored: StoredStudy) -> None:
    if stored.source is not ImageSource.DICOM:
        raise Unprocessable(
            "This study did not come as a DICOM file, so there is no DICOM study to file it in."
        )
    if stored.status in (StudyStatus.FAILED, StudyStatus.PENDING):
        raise NotFound("This study was not analysed yet, so it has no results.")


def make_result(
    stored: StoredStudy,
    content: bytes,
    result: Result,
    decoder: Decoder,
    *,
    kind: ReportKind = "3d",
    explained: bool = False,
) -> Exported:
    """A result of a study, from the study and its original alone.

    Args:
        stored: the study.
        content: its original.
        result: which.
        decoder: reads the original's pixels.
        kind: of a report.
        explained: whether the report of findings refers to the heat map, which then has to go
            where the report goes; without a heat map it says nothing of one.
    """
    _check(stored)
    study = stored.study
    if result is Result.BOXES and not study.boxes:
        raise NotFound("This study has no boxes.")
    if result is Result.HEAT_MAP and not stored.cams:
        raise NotFound("This study has no heat map.")
    cams = stored.cams
    explains = cams[0].finding if explained and cams else None
    source = read_source(content)
    made = _made(stored, source, content, result, decoder=decoder, kind=kind, explains=explains)
    return Exported(f"{study.id}-{result.value}.dcm", DICOM, made)


def _made(
    stored: StoredStudy,
    source: Source,
    content: bytes,
    result: Result,
    *,
    decoder: Decoder,
    kind: ReportKind,
    explains: Finding | None,
) -> bytes:
    # The library behind them takes seconds to import, and most gateways never need it.
    from cxr_gateway.exports.dicom import capture, document, presentation, report

    study = stored.study
    if result is Result.FINDINGS:
        return report.findings_report(study, source, kind, explains)
    if result is Result.BOXES:
        return report.boxes_report(study, source, kind)
    if result is Result.PRESENTATION_STATE:
        return presentation.presentation_state(study, source)
    decoded = decoder.decode(BytesIO(content), _LIMITS)
    if result is Result.HEAT_MAP:
        return capture.heat_map(study, source, decoded.grey, stored.cams[0])
    page = overlay_png(decoded.grey, study)
    if result is Result.PDF:
        return document.encapsulated_pdf(study, source, document.page_as_pdf(study, page))
    return capture.secondary_capture(study, source, page)
