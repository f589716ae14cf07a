"""What readers say of a study's answers: checked against the result, kept, taken back."""

from datetime import UTC, datetime
from functools import partial

from pydantic import TypeAdapter

from cxr_contracts import Finding, FindingProbability, Level
from cxr_gateway.archive import Archive
from cxr_gateway.archive.reviews import (
    ReviewRecord,
    put_review,
    reviews_of,
    standing,
    withdraw_review,
)
from cxr_gateway.core.schemas import Box, ModelRole, Study, StudyStatus, UsedModel
from cxr_gateway.feedback.schemas import (
    BoxTarget,
    Corners,
    FindingTarget,
    Label,
    Review,
    ReviewChange,
    ReviewEntry,
    Target,
    Verdict,
)
from cxr_serving.errors import Conflict, Unprocessable

# A rectangle of less has no area that anybody could have drawn on purpose.
MIN_SIDE_PX = 2.0
_DIAGNOSED = (StudyStatus.COMPLETE, StudyStatus.PARTIAL)
_LABEL: TypeAdapter[Label] = TypeAdapter(Label)


class Reviews:
    """Of an archive's studies. A study of another department is like one that is not there."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def of(self, study_id: str, department: str | None, reader: str) -> Review:
        """What was said of a study; NotFound if it is not there."""
        stored = await self._archive.get(study_id, department)
        records = await self._archive.query(lambda session: reviews_of(session, stored.id))
        counting = {record.id for record in standing(records)}
        return Review(
            study_id=stored.id,
            revision=stored.revision,
            entries=[
                _entry(record, stored.revision, reader, stands=record.id in counting)
                for record in records
            ],
        )

    async def put(
        self, study_id: str, department: str | None, entry_id: str, change: ReviewChange, by: str
    ) -> Review:
        """Keep what a reader says; the whole review after.

        Raises:
            NotFound: no such study.
            Unprocessable: it contradicts itself or the study, a sentence says how.
            Conflict: the study was analysed again since, or the id names another entry.
        """
        stored = await self._archive.get(study_id, department)
        if stored.revision != change.revision:
            # What was sent before the new analysis is known all the same.
            records = await self._archive.query(lambda session: reviews_of(session, stored.id))
            if not any(record.id == entry_id and record.made_by == by for record in records):
                raise Conflict(
                    "The study was analysed again since it was opened. Look at the new result, "
                    "then say it again."
                )
        else:
            record = checked(change, stored.study, entry_id, by)
            await self._archive.query(partial(put_review, record=record))
        return await self.of(study_id, department, by)

    async def withdraw(
        self, study_id: str, department: str | None, entry_id: str, by: str
    ) -> Review:
        """Take one's own entry back; the whole review after. NotFound if there is none."""
        stored = await self._archive.get(study_id, department)
        await self._archive.query(
            partial(withdraw_review, study_id=stored.id, entry_id=entry_id, by=by)
        )
        return await self.of(study_id, department, by)


def checked(change: ReviewChange, study: Study, entry_id: str, by: str) -> ReviewRecord:
    """The entry to keep.

    Raises:
        Unprocessable: see `Reviews.put`.
        Conflict: the study has no such answer.
    """
    _refuse_contradictions(change, study)
    finding: FindingProbability | None = None
    box: Box | None = None
    if isinstance(change.target, FindingTarget):
        finding = next((x for x in study.findings if x.finding == change.target.finding), None)
    elif isinstance(change.target, BoxTarget):
        box = study.boxes[change.target.index] if change.target.index < len(study.boxes) else None
        if box is not None and box.finding != change.target.region:
            box = None
    if change.target is not None and finding is None and box is None:
        raise Conflict("The study has no such answer; it may have been analysed again.")
    corners = change.corners or (_corners(box) if box is not None else None)
    shown: Label | None = finding.finding if finding else box.finding if box else None
    _refuse_no_change(change, shown, box)
    role = _role(change, corners, study)
    model = next((x for x in study.models if x.role == role), None)
    return ReviewRecord(
        id=entry_id,
        study_id=study.id,
        revision=change.revision,
        made_at=datetime.now(UTC),
        made_by=by,
        verdict=change.verdict.value,
        target_kind=change.target.kind if change.target else None,
        target_label=shown.value if shown else None,
        target_box=change.target.index if isinstance(change.target, BoxTarget) else None,
        shown_level=finding.level.value if finding else None,
        shown_value=finding.probability if finding else box.score if box else None,
        model_role=model.role if model else None,
        model_name=model.name if model else None,
        model_version=model.version if model else None,
        model_sha256=model.sha256 if model else None,
        label=label.value if (label := change.label or shown) else None,
        x_min=corners.x_min if corners else None,
        y_min=corners.y_min if corners else None,
        x_max=corners.x_max if corners else None,
        y_max=corners.y_max if corners else None,
        comment=change.comment.strip(),
        withdrawn_at=None,
    )


def _refuse_contradictions(change: ReviewChange, study: Study) -> None:
    verdict, target, corners = change.verdict, change.target, change.corners
    if verdict is Verdict.COMMENTED:
        if not change.comment.strip():
            raise Unprocessable("A comment has no words.")
    elif study.status not in _DIAGNOSED:
        raise Unprocessable("No model answered for this study: it can be commented on alone.")
    if verdict is Verdict.ADDED:
        if target is not None or change.label is None:
            raise Unprocessable("What is added needs a `label` and has no `target`.")
    elif verdict is not Verdict.COMMENTED and target is None:
        raise Unprocessable(f"What is {verdict.value} needs a `target`.")
    may_change = verdict in (Verdict.MODIFIED, Verdict.ADDED)
    if not may_change and (change.label is not None or corners is not None):
        raise Unprocessable(f"What is {verdict.value} keeps its label and its place.")
    if isinstance(target, FindingTarget) and corners is not None:
        raise Unprocessable("A finding has no place: add a region instead.")
    if corners is not None:
        _refuse_no_area(corners, study)


def _refuse_no_area(corners: Corners, study: Study) -> None:
    width, height = corners.x_max - corners.x_min, corners.y_max - corners.y_min
    if width < MIN_SIDE_PX or height < MIN_SIDE_PX:
        raise Unprocessable(
            f"The box has no area: each side needs at least {MIN_SIDE_PX:.0f} pixels of the image."
        )
    if corners.x_max > study.image.width or corners.y_max > study.image.height:
        raise Unprocessable("The box lies outside the image.")


def _refuse_no_change(change: ReviewChange, shown: Label | None, box: Box | None) -> None:
    if change.verdict is not Verdict.MODIFIED:
        return
    relabelled = (
        change.label is not None and shown is not None and change.label.value != shown.value
    )
    redrawn = change.corners is not None and box is not None and change.corners != _corners(box)
    if not (relabelled or redrawn):
        raise Unprocessable("Nothing is modified: neither the label nor the box is another one.")


def _role(change: ReviewChange, corners: Corners | None, study: Study) -> str | None:
    """Whose answer it is about: of an addition, who could have found it."""
    if change.target is None and change.verdict is not Verdict.ADDED:
        return None
    drawn = isinstance(change.target, BoxTarget) or corners is not None
    names = {*Finding, *(row.finding for row in study.findings)}
    known = change.label is not None and change.label.value in names
    return "detector" if drawn or (change.target is None and not known) else "classifier"


def _corners(box: Box) -> Corners:
    # A detector's box may end a fraction of a pixel outside.
    return Corners(
        x_min=max(0.0, box.x_min),
        y_min=max(0.0, box.y_min),
        x_max=max(0.0, box.x_max),
        y_max=max(0.0, box.y_max),
    )


def _entry(record: ReviewRecord, revision: int, reader: str, *, stands: bool) -> ReviewEntry:
    target = _target(record)
    found = record.corners
    stale = isinstance(target, BoxTarget) and record.revision != revision
    return ReviewEntry(
        id=record.id,
        revision=record.revision,
        verdict=Verdict(record.verdict),
        target=target,
        label=_LABEL.validate_python(record.label) if record.label else None,
        corners=Corners(**dict(zip(Corners.model_fields, found, strict=True))) if found else None,
        shown_level=Level(record.shown_level) if record.shown_level else None,
        shown_value=record.shown_value,
        model=_model(record),
        comment=record.comment,
        by=record.made_by,
        mine=record.made_by == reader,
        at=record.made_at,
        withdrawn_at=record.withdrawn_at,
        counts=stands and not stale,
    )


def _target(record: ReviewRecord) -> Target | None:
    if record.target_kind == "finding":
        return FindingTarget.model_validate({"kind": "finding", "finding": record.target_label})
    if record.target_kind == "box":
        index, region = record.target_box, record.target_label
        return BoxTarget.model_validate({"kind": "box", "index": index, "region": region})
    return None


def _model(record: ReviewRecord) -> UsedModel | None:
    if record.model_role is None:
        return None
    return UsedModel(
        role=ModelRole(record.model_role),
        name=record.model_name or "",
        version=record.model_version or "",
        sha256=record.model_sha256 or "",
    )
