"""By what studies of the list are found: the columns that are looked through, the conditions."""

import re

from sqlalchemy import ColumnElement, and_, or_, true

from cxr_contracts import Level
from cxr_gateway.archive.models import StudyFilter
from cxr_gateway.archive.tables import StudyRow
from cxr_gateway.core.schemas import Study


def search_columns(study: Study) -> dict[str, str]:
    """What a study is looked for by, as its row keeps it.

    `searched` is text in lower case: the file's name, the patient's names, numbers and dates, view,
    kind of file, priority, and what is likely or possible. `levels` is `|Finding=level|...`.
    """
    patient, image = study.patient, study.image
    raised = [item for item in study.findings if item.level is not Level.UNLIKELY]
    parts = (
        study.id,
        study.file_name,
        patient.name,
        patient.patient_id,
        patient.accession_number,
        patient.birth_date,
        patient.study_date,
        f"{study.received_at:%Y-%m-%d}",
        image.view,
        image.source.value,
        study.triage.priority.value if study.triage else None,
        *(item.finding.value.replace("_", " ") for item in raised),
    )
    levels = "".join(f"{item.finding.value}={item.level.value}|" for item in raised)
    return {
        "searched": " ".join(filter(None, parts)).casefold(),
        "levels": f"|{levels}",
    }


def matching(wanted: StudyFilter) -> ColumnElement[bool]:
    """Whether a row is asked for."""
    conditions: list[ColumnElement[bool]] = [true()]
    for column, values in (
        (StudyRow.status, wanted.statuses),
        (StudyRow.priority, wanted.priorities),
        (StudyRow.worklist_state, wanted.worklist),
        (StudyRow.source, wanted.sources),
    ):
        if values:
            conditions.append(column.in_([value.value for value in values]))
    for column, value in (
        (StudyRow.patient_id, wanted.patient_id),
        (StudyRow.accession_number, wanted.accession_number),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.first_date is not None:
        conditions.append(StudyRow.study_date >= wanted.first_date.isoformat())
    if wanted.last_date is not None:
        conditions.append(StudyRow.study_date <= wanted.last_date.isoformat())
    if wanted.received_since is not None:
        conditions.append(StudyRow.received_at >= wanted.received_since)
    if wanted.finding is not None:
        levels = [wanted.level] if wanted.level else [Level.LIKELY, Level.POSSIBLE]
        named = [f"|{wanted.finding.value}={level.value}|" for level in levels]
        conditions.append(or_(*(StudyRow.levels.contains(one, autoescape=True) for one in named)))
    # A name may be written as in a list or in a DICOM file: FAMILY, Given or FAMILY^Given.
    for word in filter(None, re.split(r"[\s,^]+", (wanted.text or "").casefold())):
        conditions.append(StudyRow.searched.contains(word, autoescape=True))
    return and_(*conditions)
