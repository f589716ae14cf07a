"""Findings as a table for pandas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from cxr_client.models import Study, StudySummary

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("study_id", "received_at", "file_name", "patient_id", "accession_number", "status"),
    *("priority", "finding", "probability", "level", "possible_threshold", "likely_threshold"),
)


def findings_frame(studies: Iterable[Study | StudySummary]) -> pd.DataFrame:
    """A row for each finding of each study, with `COLUMNS`; a study without findings has none.

    Args:
        studies: as `study` and `submit` give them, with all fourteen findings; those of a list
            have their three strongest.

    Raises:
        ImportError: pandas is not installed: `pip install cxr-client[pandas]`.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("findings_frame needs pandas: pip install cxr-client[pandas]") from error
    return pd.DataFrame.from_records([*_rows(studies)], columns=list(COLUMNS))


def _rows(studies: Iterable[Study | StudySummary]) -> Iterator[tuple[Any, ...]]:
    for study in studies:
        priority = study.triage.priority.value if study.triage else None
        patient, about = study.patient, (study.id, study.received_at, study.file_name)
        whose = (patient.patient_id, patient.accession_number, study.status.value, priority)
        for one in study.findings if isinstance(study, Study) else study.top_findings:
            thresholds = (one.possible_threshold, one.likely_threshold)
            said = (one.finding, one.probability, one.level.value)
            yield (*about, *whose, *said, *thresholds)
