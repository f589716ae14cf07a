"""Python client of the chest X-ray reader: `Client`, and `AsyncClient` for asyncio.

with Client("http://localhost:8000", key="cxr_...") as client:
    study = client.submit("chest.dcm")
    print(study.status, [one.finding for one in study.top_findings])
"""

from cxr_client.client import AsyncClient, Client
from cxr_client.errors import (
    Conflict,
    CxrError,
    NotAllowed,
    NotFound,
    NotReached,
    NotReady,
    ProblemError,
    Refused,
    Unavailable,
)
from cxr_client.frames import findings_frame
from cxr_client.models import (
    Box,
    Change,
    Finding,
    Level,
    Priority,
    Problem,
    Report,
    ReportText,
    Review,
    ReviewChange,
    Study,
    StudyStatus,
    StudySummary,
    SubmittedFile,
    SystemStatus,
    Worklist,
    WorklistState,
)
from cxr_client.retries import Retries

__all__ = [
    "AsyncClient",
    "Box",
    "Change",
    "Client",
    "Conflict",
    "CxrError",
    "Finding",
    "Level",
    "NotAllowed",
    "NotFound",
    "NotReached",
    "NotReady",
    "Priority",
    "Problem",
    "ProblemError",
    "Refused",
    "Report",
    "ReportText",
    "Retries",
    "Review",
    "ReviewChange",
    "Study",
    "StudyStatus",
    "StudySummary",
    "SubmittedFile",
    "SystemStatus",
    "Unavailable",
    "Worklist",
    "WorklistState",
    "findings_frame",
]
