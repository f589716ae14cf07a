"""A study's report: drafted, written in versions, signed by a person, and as a PDF."""

from datetime import UTC, datetime
from functools import partial

from cxr_gateway.archive import Archive, StoredStudy
from cxr_gateway.archive.reports import ReportRecord, add_report, reports_of
from cxr_gateway.archive.reviews import ReviewRecord, reviews_of, standing
from cxr_gateway.core.errors import Forbidden
from cxr_gateway.core.principal import Principal, PrincipalKind
from cxr_gateway.core.schemas import Study, StudyStatus
from cxr_gateway.exports.feedback import findings_of
from cxr_gateway.exports.report_pdf import Printed, report_pdf
from cxr_gateway.exports.workers import Exported, Workers
from cxr_gateway.reporting.drafting import Templates, drafted
from cxr_gateway.reporting.schemas import Report, ReportChange, ReportText, ReportVersion
from cxr_serving.errors import Conflict, NotFound, Unprocessable


class Reports:
    """Of an archive's studies. A study of another department is like one that is not there."""

    def __init__(self, archive: Archive, workers: Workers, templates: Templates) -> None:
        self._archive = archive
        self._workers = workers
        self._templates = templates

    async def of(
        self, study_id: str, department: str | None, prior_id: str | None = None
    ) -> Report:
        """The draft and all versions.

        Args:
            study_id: the study.
            department: whose studies are seen; None for all.
            prior_id: an earlier study of the same patient to compare with.

        Raises:
            NotFound: one of the studies is not there.
            Unprocessable: the other one is not the same patient's, or was taken later.
        """
        stored = await self._archive.get(study_id, department)
        prior = None
        if prior_id is not None:
            prior = (await self._archive.get(prior_id, department)).study
            if not _is_same_patient(stored.study, prior):
                raise Unprocessable("The other study is not known to be the same patient's.")
            if _is_later(prior, stored.study):
                raise Unprocessable("The other study was taken later than this one.")
        records = await self._archive.query(lambda session: reports_of(session, stored.id))
        reviews = await self._reviews(stored)
        judged = findings_of(reviews)
        return Report(
            study_id=stored.id,
            revision=stored.revision,
            draft=drafted(stored.study, reviews, judged, prior, self._templates),
            versions=[_version(record) for record in records],
        )

    async def write(
        self, study_id: str, change: ReportChange, author: Principal, name: str
    ) -> Report:
        """Add a version; the whole report after.

        Raises:
            NotFound: no such study.
            Forbidden: a system wants to sign; a person answers for a report.
            Unprocessable: it is to be signed and has no impression.
            Conflict: somebody wrote another version, or the study was analysed again, meanwhile.
        """
        stored = await self._archive.get(study_id, author.department)
        if stored.study.status is StudyStatus.REJECTED:
            raise Unprocessable("Nothing was diagnosed in this study, so there is no report of it.")
        if change.sign and author.kind is PrincipalKind.KEY:
            raise Forbidden("A report is signed by a person, not by a system's key.")
        if change.sign and not change.text.impression.strip():
            raise Unprocessable("A report without an impression is not signed.")
        if change.revision != stored.revision:
            raise Conflict("The study was analysed again since it was opened; look at it again.")
        record = ReportRecord(
            study_id=stored.id,
            version=change.based_on + 1,
            revision=change.revision,
            made_at=datetime.now(UTC),
            made_by=author.subject,
            made_by_name=name,
            signed=change.sign,
            text_json=change.text.model_dump_json(),
        )
        await self._archive.query(partial(add_report, record=record))
        return await self.of(study_id, author.department)

    async def pdf(self, study_id: str, department: str | None, version: int | None) -> Exported:
        """A version as one page; None is the last signed one, or the last of all.

        Raises:
            NotFound: no such study, or no such version.
        """
        stored = await self._archive.get(study_id, department)
        records = await self._archive.query(lambda session: reports_of(session, stored.id))
        signed = [record for record in records if record.signed]
        wanted = (signed or records)[-1:]
        if version is not None:
            wanted = [record for record in records if record.version == version]
        if not wanted:
            raise NotFound("There is no such version of a report of this study.")
        content = await self._archive.in_thread(
            self._archive.files.read, stored.id, stored.original
        )
        [record] = wanted
        reviews = await self._reviews(stored)
        text = ReportText.model_validate_json(record.text_json)
        printed = Printed(
            version=record.version,
            is_last=record.version == records[-1].version,
            signed=record.signed,
            name=record.made_by_name,
            at=record.made_at,
            sections=text.model_dump(),
        )
        page = await self._workers.in_thread(
            report_pdf, stored.study, content, reviews, printed, self._workers.decoder
        )
        return Exported(f"{stored.id}-report-{record.version}.pdf", "application/pdf", page)

    async def _reviews(self, stored: StoredStudy) -> list[ReviewRecord]:
        records = await self._archive.query(lambda session: reviews_of(session, stored.id))
        # A box has its number within one analysis alone.
        return [
            record
            for record in standing(records)
            if record.target_kind != "box" or record.revision == stored.revision
        ]


def _is_same_patient(one: Study, other: Study) -> bool:
    """By number and issuer: hospitals give the same numbers to different people."""
    mine, theirs = one.patient, other.patient
    return (
        one.id != other.id
        and mine.patient_id is not None
        and (mine.patient_id, mine.issuer_of_patient_id)
        == (theirs.patient_id, theirs.issuer_of_patient_id)
    )


def _is_later(one: Study, other: Study) -> bool:
    """Whether the files say so; where one is silent, nobody knows."""
    mine, theirs = one.patient.study_date, other.patient.study_date
    return mine is not None and theirs is not None and mine > theirs


def _version(record: ReportRecord) -> ReportVersion:
    return ReportVersion(
        version=record.version,
        revision=record.revision,
        at=record.made_at,
        by=record.made_by,
        name=record.made_by_name,
        signed=record.signed,
        text=ReportText.model_validate_json(record.text_json),
    )
