"""A report drafted from what readers judged, and from what the models say where nobody did."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from cxr_contracts import Finding, Level
from cxr_gateway.archive.reviews import ReviewRecord
from cxr_gateway.core.schemas import Study
from cxr_gateway.reporting.schemas import MAX_SECTION_CHARS, ReportText
from cxr_serving.errors import ServiceError

_OWN = Path(__file__).with_name("templates.toml")
_SUGGESTED = (Level.LIKELY, Level.POSSIBLE)


class TemplatesError(ServiceError):
    """The file of templates cannot be used; the gateway does not start with it."""


class Templates(BaseModel):
    """The sentences; `templates.toml` says what each is filled with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    examination: str
    examination_unknown_view: str
    comparison: str
    comparison_none: str
    change: str
    # Younger than sites' own files, which may lack it.
    change_doubt: str = ""
    present: str
    absent: str
    likely: str
    possible: str
    region: str
    nothing: str
    impression: str
    impression_none: str

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """From a site's file, or the gateway's own for None; each is tried once.

        Raises:
            TemplatesError: no such file, a sentence is missing or unknown, or asks for a field
                that there is not.
        """
        try:
            templates = cls.model_validate(tomllib.loads((path or _OWN).read_text("utf-8")))
            for sentence in templates.model_dump().values():
                _filled(sentence, **dict.fromkeys(_FIELDS, ""))
        except (OSError, ValueError, ValidationError, KeyError, IndexError) as error:
            raise TemplatesError(f"The report's templates cannot be used: {error}") from error
        return templates


_FIELDS = (
    "view",
    "date",
    "changes",
    "finding",
    "before",
    "now",
    "percent",
    "half",
    "findings",
)


def drafted(
    study: Study,
    records: Sequence[ReviewRecord],
    judged: dict[Finding, bool],
    prior: Study | None,
    templates: Templates,
) -> ReportText:
    """The draft.

    Args:
        study: as analysed.
        records: what stands of its review, the oldest first.
        judged: whether each judged finding is there.
        prior: an earlier study of the same patient, to be compared with; None for none.
        templates: the sentences.
    """
    confirmed = [finding.value for finding, there in judged.items() if there]
    others = [
        record.label
        for record in records
        if record.verdict in ("added", "modified", "accepted")
        and record.label is not None
        and record.label not in set(Finding)
    ]
    present = list(dict.fromkeys([*confirmed, *others]))
    sentences = [_filled(templates.present, finding=_upper(name)) for name in present]
    sentences += [
        _filled(templates.absent, finding=_words(finding.value))
        for finding, there in judged.items()
        if not there
    ]
    suggested = [
        row for row in study.findings if row.level in _SUGGESTED and row.finding not in judged
    ]
    sentences += [
        _filled(
            templates.likely if row.level is Level.LIKELY else templates.possible,
            finding=_words(row.finding.value),
            percent=_percent(row.probability),
        )
        for row in suggested
    ]
    sentences += _regions(study, records, templates)
    if not sentences:
        sentences = [templates.nothing]
    named = ", ".join(_words(name) for name in present)
    impression = (
        _filled(templates.impression, findings=_upper(named))
        if present
        else templates.impression_none
    )
    view = study.image.view
    return ReportText(
        examination=_cut(
            _filled(templates.examination, view=view)
            if view
            else templates.examination_unknown_view
        ),
        comparison=_cut(_comparison(study, prior, templates)),
        findings=_cut("\n".join(sentence for sentence in sentences if sentence)),
        impression=_cut(impression),
    )


def _regions(study: Study, records: Sequence[ReviewRecord], templates: Templates) -> list[str]:
    """Where confirmed and drawn boxes lie; a box that nobody judged is not told."""
    middle = study.image.width / 2
    found = []
    for record in records:
        corners = record.corners
        if corners is None or record.label is None or record.verdict == "rejected":
            continue
        half = "left" if (corners[0] + corners[2]) / 2 < middle else "right"
        found.append(_filled(templates.region, finding=_upper(record.label), half=half))
    return found


def _comparison(study: Study, prior: Study | None, templates: Templates) -> str:
    if prior is None:
        return templates.comparison_none
    before = {row.finding: row for row in prior.findings}
    changes = [
        _filled(
            templates.change,
            finding=_upper(row.finding.value),
            before=_percent(earlier.probability),
            now=_percent(row.probability),
        )
        for row in study.findings
        if (earlier := before.get(row.finding)) is not None
        and (row.level in _SUGGESTED or earlier.level in _SUGGESTED)
    ]
    date = prior.patient.study_date or prior.received_at.date().isoformat()
    told = " ".join([*changes, templates.change_doubt] if changes else [])
    return _filled(templates.comparison, date=date, changes=told).strip()


def _filled(sentence: str, **fields: str) -> str:
    return sentence.format_map(fields)


def _words(name: str) -> str:
    return name.replace("_", " ").lower()


def _upper(name: str) -> str:
    words = _words(name)
    return words[:1].upper() + words[1:]


def _percent(probability: float) -> str:
    return "<1%" if 0 < probability < 0.005 else f"{probability:.0%}"


def _cut(text: str) -> str:
    return text[:MAX_SECTION_CHARS]
