"""One row a radiograph: its columns, and how the engine's answer fills them."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa

from cxr_contracts import Finding
from cxr_gateway.core.schemas import DicomMetadata, ImageQuality
from cxr_gateway.exports.deidentification.pseudonyms import Pseudonyms
from cxr_screening.engine import Analysis
from cxr_screening.errors import ScreeningError

SCHEMA_VERSION = 1
VERSION_KEY = b"cxr_screening_schema"
# Nobody older is told apart by an age (HIPAA, safe harbor).
_MOST_YEARS = 90
STAGES = ("fetch", "decode", "ood", "quality", "classifier", "detector", "total")


def column_of(finding: Finding) -> str:
    """The column of a finding's probability; its level has `_level` behind it."""
    return finding.value.lower().replace("-", "_")


_QUALITY = pa.struct(
    [
        ("effective_px", pa.int32()),
        ("grey_levels", pa.int32()),
        ("black_share", pa.float64()),
        ("white_share", pa.float64()),
        ("mean_grey", pa.float64()),
        ("rotation_degrees", pa.int32()),
        ("inverted", pa.bool_()),
        ("part_of_chest", pa.float64()),
        ("blocking", pa.float64()),
        ("warnings", pa.list_(pa.string())),
        ("unreadable", pa.string()),
    ]
)
_BOX = pa.struct(
    [
        ("finding", pa.string()),
        ("score", pa.float64()),
        ("detector_score", pa.float64()),
        ("classifier_probability", pa.float64()),
        ("x_min", pa.float64()),
        ("y_min", pa.float64()),
        ("x_max", pa.float64()),
        ("y_max", pa.float64()),
    ]
)
# What says who it is; null unless the run was identified.
IDENTIFYING = (
    "source",
    "patient_id",
    "study_instance_uid",
    "sop_instance_uid",
    "accession_number",
    "study_date",
)
_BEFORE, _AFTER = (
    [
        ("id", pa.uint64()),
        ("fingerprint", pa.string()),
        ("status", pa.string()),
        ("error_kind", pa.string()),
        ("error", pa.string()),
        ("reason", pa.string()),
        ("content", pa.string()),
        ("patient", pa.string()),
        ("study", pa.string()),
        ("instance", pa.string()),
        *((name, pa.string()) for name in IDENTIFYING),
        ("study_year", pa.int32()),
        ("sex", pa.string()),
        ("age_years", pa.int32()),
        ("kind", pa.string()),
        ("view", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bytes", pa.int64()),
        ("notes", pa.list_(pa.string())),
        ("ood_score", pa.float64()),
        ("ood_threshold", pa.float64()),
        ("quality", _QUALITY),
    ],
    [
        ("priority", pa.string()),
        ("score", pa.float64()),
        ("same_day_score", pa.float64()),
        ("priority_reason", pa.string()),
        ("boxes", pa.list_(_BOX)),
        ("problems", pa.list_(pa.string())),
        ("timings_ms", pa.struct([(stage, pa.float64()) for stage in STAGES])),
        ("analysed_at", pa.timestamp("ms", tz="UTC")),
    ],
)
_METADATA = {VERSION_KEY: str(SCHEMA_VERSION).encode()}


def schema_of(findings: Sequence[Finding]) -> pa.Schema:
    """The columns of a table for a classifier of these findings.

    Raises:
        ScreeningError: two findings, or a finding and another column, would be one column.
    """
    columns = [*_BEFORE]
    for finding in findings:
        name = column_of(finding)
        columns += [(name, pa.float64()), (f"{name}_level", pa.string())]
    columns += _AFTER
    # `engine` and `year` are of the path.
    names = ["engine", "year", *(name for name, _ in columns)]
    for finding in findings:
        for name in (column_of(finding), f"{column_of(finding)}_level"):
            if names.count(name) > 1:
                raise ScreeningError(
                    f"The label {finding} would have the column {name!r}, which is there already; "
                    "an archive is screened with a model whose labels have other names."
                )
    return pa.schema(columns, metadata=_METADATA)


SCHEMA = schema_of(tuple(Finding))


@dataclass(frozen=True)
class RowWriter:
    """Makes rows.

    Args:
        key: of the pseudonyms.
        fingerprint: of the engine.
        identified: whether what says who it is is kept.
        findings: that the classifier knows.
    """

    key: bytes
    fingerprint: str
    identified: bool
    findings: tuple[Finding, ...] = tuple(Finding)

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of its rows."""
        return schema_of(self.findings)

    def to_table(self, rows: list[dict[str, Any]]) -> pa.Table:
        """Rows as a table."""
        return pa.Table.from_pylist(rows, schema=self.schema)

    def failed(
        self, locator: str, kind: str, sentence: str, *, n_bytes: int | None, ms: float
    ) -> dict[str, Any]:
        """Of a file that could not be fetched or read."""
        row = self._empty(locator, n_bytes)
        row |= {"status": "failed", "error_kind": kind, "error": sentence}
        row["timings_ms"] = dict.fromkeys(STAGES) | {"total": round(ms, 3)}
        return row

    def analysed(
        self,
        locator: str,
        content: bytes,
        analysis: Analysis,
        *,
        fetch_ms: float,
        total_ms: float,
    ) -> dict[str, Any]:
        """Of a file that the engine has read."""
        row = self._empty(locator, len(content))
        digest = hashlib.sha256(content).hexdigest()
        row["status"] = analysis.status.value
        row["content"] = self._keyed("content", digest)
        row["problems"] = [f"{one.service}: {one.detail}" for one in analysis.problems]
        times = {name: analysis.stages_ms.get(name) for name in STAGES}
        times |= {"fetch": round(fetch_ms, 3), "total": round(total_ms, 3)}
        row["timings_ms"] = times
        if analysis.decoded is not None:
            image = analysis.decoded.metadata
            row |= {
                "kind": image.source.value,
                "view": image.view,
                "width": image.width,
                "height": image.height,
                "notes": image.notes,
            }
            row |= self._patient(analysis.decoded.patient)
        if analysis.ood is not None:
            row |= {
                "reason": analysis.ood.reason,
                "ood_score": analysis.ood.score,
                "ood_threshold": analysis.ood.threshold,
            }
        if analysis.quality is not None:
            row["quality"] = ImageQuality.model_dump(analysis.quality)
        if (prediction := analysis.prediction) is not None:
            for one in prediction.findings:
                name = column_of(one.finding)
                row[name], row[f"{name}_level"] = one.probability, one.level.value
            row["boxes"] = [box.model_dump(mode="json") for box in prediction.boxes]
            if (triage := prediction.triage) is not None:
                row |= {
                    "priority": triage.priority.value,
                    "score": triage.score,
                    "same_day_score": triage.same_day_score,
                    "priority_reason": triage.reason,
                }
        return row

    def _empty(self, locator: str, n_bytes: int | None) -> dict[str, Any]:
        row: dict[str, Any] = dict.fromkeys(self.schema.names)
        row |= {
            "id": image_id(self.key, locator),
            "fingerprint": self.fingerprint,
            "bytes": n_bytes,
            "source": locator if self.identified else None,
            "boxes": [],
            "problems": [],
            "notes": [],
            "analysed_at": datetime.now(UTC),
        }
        return row

    def _patient(self, patient: DicomMetadata) -> dict[str, Any]:
        pseudonyms = Pseudonyms(self.key)
        found: dict[str, Any] = {
            "patient": pseudonyms.patient(patient.patient_id or "") or None,
            "study": _uid(pseudonyms, patient.study_instance_uid),
            "instance": _uid(pseudonyms, patient.sop_instance_uid),
            "study_year": int(patient.study_date[:4]) if patient.study_date else None,
            "sex": patient.sex,
            "age_years": _age(patient.birth_date, patient.study_date),
        }
        if self.identified:
            found |= {name: getattr(patient, name) for name in IDENTIFYING if name != "source"}
        return found

    def _keyed(self, kind: str, value: str) -> str:
        return keyed(self.key, kind, value).hex()[:32]


def keyed(key: bytes, kind: str, value: str) -> bytes:
    """What stands for `value` and cannot be guessed without the key, 32 bytes."""
    return hmac.digest(key, f"{kind}\0{value}".encode(errors="surrogateescape"), hashlib.sha256)


def image_id(key: bytes, locator: str) -> int:
    """The 64-bit id of a place that a radiograph comes from."""
    return int.from_bytes(keyed(key, "image", locator)[:8], "big")


def _uid(pseudonyms: Pseudonyms, original: str | None) -> str | None:
    return pseudonyms.uid(original) if original else None


def _age(born: str | None, on: str | None) -> int | None:
    if born is None or on is None:
        return None
    try:
        birth, day = date.fromisoformat(born), date.fromisoformat(on)
    except ValueError:
        return None
    years = day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
    return min(years, _MOST_YEARS) if years >= 0 else None
