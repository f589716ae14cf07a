"""What is found out about one picture: the gate, then both readers at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from cxr_contracts import ClassifyResponse, DetectResponse, ModelIdentity, ModelManifest
from cxr_gateway.analysis.merge import TOP_FINDINGS
from cxr_gateway.analysis.rescoring import Rescoring, Rescorings
from cxr_gateway.core.metrics import GatewayMetrics, OodRefusal
from cxr_gateway.core.schemas import Gate, ImageSource, StudyProblem, StudyStatus, UsedModel
from cxr_gateway.drift.measures import ImageStatistics, measure
from cxr_gateway.imaging import DecodedImage, Limits, read_upload
from cxr_gateway.inference.clients import Picture
from cxr_gateway.inference.failures import InferenceFailure
from cxr_gateway.inference.image_encoding import stored_png
from cxr_gateway.inference.routing import ModelRouter
from cxr_gateway.ood import OodScore

_T = TypeVar("_T")


class OodModel(Protocol):
    """The gate as the gateway uses it: `cxr_gateway.ood.Gate` in production."""

    @property
    def manifest(self) -> ModelManifest:
        """Of the network in use."""
        ...

    def check(self, grey: NDArray[np.uint8]) -> OodScore:
        """Judge uint8 [H, W]; called in several threads at once."""
        ...


@dataclass
class Analysis:
    """What is known after an examination; milliseconds of each stage that took place."""

    gate: Gate
    classified: ClassifyResponse | None = None
    detected: DetectResponse | None = None
    rescoring: Rescoring | None = None
    problems: list[StudyProblem] = field(default_factory=list)
    models: list[UsedModel] = field(default_factory=list)
    stages_ms: dict[str, float] = field(default_factory=dict)

    @property
    def status(self) -> StudyStatus:
        """What the study's status follows to be."""
        if not self.gate.accepted:
            return StudyStatus.REJECTED
        if not self.problems:
            return StudyStatus.COMPLETE
        nobody = self.classified is None and self.detected is None
        return StudyStatus.FAILED if nobody else StudyStatus.PARTIAL


@dataclass(frozen=True)
class Prepared:
    """A decoded upload, the gate's word on it, and what the readers get: None if it is refused."""

    intake: DecodedImage
    measures: ImageStatistics
    gate: Gate
    picture: Picture | None
    stages_ms: dict[str, float]


class Analyzer:
    """Runs examinations; image work in `threads`, the readers' in the event loop."""

    def __init__(
        self,
        gate: OodModel,
        readers: ModelRouter,
        rescorings: Rescorings,
        threads: ThreadPoolExecutor,
        metrics: GatewayMetrics,
    ) -> None:
        self.gate = gate
        self._readers = readers
        self._rescorings = rescorings
        self._threads = threads
        self._metrics = metrics

    async def in_thread(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Run image work in one of the threads for it, as part of the caller's request."""
        loop, context = asyncio.get_running_loop(), copy_context()
        return await loop.run_in_executor(self._threads, context.run, work, *arguments)

    async def prepare(self, load: Callable[[], bytes], limits: Limits) -> Prepared:
        """Decode the file that `load` reads, judge it, encode it for the readers, in one thread.

        Raises:
            UnsupportedMedia, Unprocessable, PayloadTooLarge: what intake refuses.
        """
        return await self.in_thread(self._prepare, load, limits)

    async def examine(self, prepared: Prepared) -> Analysis:
        """Ask both readers, unless the gate refused the picture.

        A reader's failure becomes a problem of the study, never an error.
        """
        examined = Analysis(prepared.gate, stages_ms=dict(prepared.stages_ms))
        if "gate" in prepared.stages_ms:
            examined.models.append(gate_model(self.gate.manifest))
        if prepared.picture is not None:
            await self._ask_readers(examined, prepared.picture)
        return examined

    def _prepare(self, load: Callable[[], bytes], limits: Limits) -> Prepared:
        with self._metrics.stage("decode") as decoding:
            intake = read_upload(load(), limits=limits)
        stages_ms = {"decode": decoding.ms}
        with self._metrics.stage("gate") as judging:
            score = self.gate.check(intake.grey)
        stages_ms["gate"] = judging.ms
        gate = Gate(
            # What the file itself says decides; the score stands beside it.
            accepted=score.accepted and intake.refused is None,
            score=score.score,
            threshold=score.threshold,
            reason=intake.refused or score.reason,
        )
        measures = measure(intake.grey)
        if not gate.accepted:
            self._metrics.count_refusal(_refusal(intake))
            return Prepared(intake, measures, gate, None, stages_ms)
        with self._metrics.stage("encode"):
            picture = picture_for_readers(intake)
        return Prepared(intake, measures, gate, picture, stages_ms)

    async def _ask_readers(self, examined: Analysis, picture: Picture) -> None:
        async with asyncio.TaskGroup() as group:
            classify = self._readers.classifier.classify(picture, explain=TOP_FINDINGS)
            detect = self._readers.detector.detect(picture, min_score=self._rescorings.min_score)
            classified = group.create_task(self._ask("classifier", classify, examined))
            detected = group.create_task(self._ask("detector", detect, examined))
        examined.classified, examined.detected = classified.result(), detected.result()
        examined.rescoring = self._rescorings.of(
            examined.classified.model if examined.classified else None,
            examined.detected.model if examined.detected else None,
        )
        examined.problems.sort(key=lambda problem: problem.part)
        for role, answer in (("classifier", examined.classified), ("detector", examined.detected)):
            if answer is not None:
                examined.models.append(_used_model(role, answer.model))

    async def _ask(self, role: str, call: Awaitable[_T], examined: Analysis) -> _T | None:
        span = None
        try:
            with self._metrics.stage(role, asks=True) as span:
                return await call
        except InferenceFailure as failure:
            examined.problems.append(failure.problem(role))
            return None
        finally:
            if span is not None:
                examined.stages_ms[role] = span.ms


def _refusal(intake: DecodedImage) -> OodRefusal:
    """The class of reason for which the film of `intake` was refused."""
    if intake.refused is None:
        return OodRefusal.PICTURE
    by_tags = intake.facts.source is ImageSource.DICOM
    return OodRefusal.TAGS if by_tags else OodRefusal.COLOUR


def picture_for_readers(intake: DecodedImage) -> Picture:
    """What the readers are sent of a decoded upload, whole: the work of a thread."""
    facts = intake.facts
    picture = Picture(stored_png(intake.grey), "image/png", facts.width, facts.height)
    _ = picture.form  # made here and kept
    return picture


def gate_model(manifest: ModelManifest) -> UsedModel:
    """The gate's network as a study names it."""
    return UsedModel(
        role="gate",
        name=manifest.name,
        version=manifest.version,
        sha256=manifest.weights.sha256,
    )


def _used_model(role: str, model: ModelIdentity) -> UsedModel:
    return UsedModel(role=role, name=model.name, version=model.version, sha256=model.sha256)
