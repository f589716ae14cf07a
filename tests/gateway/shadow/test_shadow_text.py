"""The report as an operator reads it in a terminal."""

from datetime import UTC, datetime

from cxr_contracts import Finding, ModelIdentity
from cxr_gateway.core.schemas import FailureKind, Priority
from cxr_gateway.shadow.schemas import (
    FailureCount,
    FindingAgreement,
    Latency,
    PriorityChange,
    ShadowReport,
)
from cxr_gateway.shadow.text import report_text

AT = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)
REPORT = ShadowReport(
    role="classifier",
    shadow=ModelIdentity(name="new", version="2", sha256="cd" * 32),
    current_sha256="ab" * 32,
    first_at=AT,
    last_at=AT,
    recorded=102,
    answered=100,
    failures=[FailureCount(kind=FailureKind.TIMEOUT, studies=2)],
    findings=[
        FindingAgreement(
            finding=Finding.MASS,
            same_level=90,
            shadow_higher=7,
            shadow_lower=3,
            agreement=0.9,
            mean_absolute_difference=0.0314,
        )
    ],
    priorities=[
        PriorityChange(current=Priority.SOON, shadow=Priority.SOON, studies=95),
        PriorityChange(current=Priority.SOON, shadow=Priority.URGENT, studies=5),
    ],
    priority_changes=5,
    boxes_per_image_current=1.25,
    boxes_per_image_shadow=1.5,
    latency_current=None,
    latency_shadow=Latency(median_ms=31.4, p95_ms=62.6),
)


def test_the_report_is_a_line_for_each_thing_that_is_compared() -> None:
    assert report_text(REPORT).splitlines() == [
        "classifier: new 2 (cdcdcdcdcdcd) beside abababababab",
        "images          102, from 2026-11-25 08:30 to 2026-11-25 08:30 UTC",
        "failures        timeout 2",
        "priorities      5 of 100 would have changed; soon to urgent 5",
        "boxes an image  1.25 current, 1.50 by the shadow",
        "milliseconds    unknown current, 31 and 63 by the shadow (median, 95th percentile)",
        "",
        "finding              same level  shadow higher  shadow lower  mean difference",
        "Mass                        90%              7             3            0.031",
    ]
