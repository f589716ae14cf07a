"""The analysis of one image: the OOD detector, then both inference services at once.

The image's quality is measured while these work. An image that nobody could read is rare, and the
services' answers are then not waited for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from cxr_contracts import (
    ClassifyResponse,
    DetectResponse,
    Finding,
    ModelIdentity,
    ModelManifest,
)
from cxr_gateway.analysis.triage_model import TriageInUse, TriageModels
from cxr_gateway.core.image_numbers import ImageStatistics
from cxr_gateway.core.metrics import GatewayMetrics, OodRefusal
from cxr_gateway.core.schemas import (
    ImageQuality,
    ImageSource,
    ModelRole,
    OodResult,
    StudyProblem,
    StudyStatus,
    UsedModel,
)
from cxr_gateway.imaging import DecodedImage, Limits
from cxr_gateway.imaging.decoders import Decoder
from cxr_gateway.imaging.quality import measure_quality
from cxr_gateway.imaging.statistics import measure
from cxr_gateway.inference.clients import EncodedImage
from cxr_gateway.inference.failures import InferenceFailure
from cxr_gateway.inference.image_encoding import stored_png
from cxr_gateway.inference.routing import ModelRouter
from cxr_gateway.ood import OodScore

_T = TypeVar("_T")


class OodModel(Protocol):
    """The OOD detector as the gateway uses it: `cxr_gateway.ood.OodDetector` in production."""

    @property
    def manifest(self) -> ModelManifest:
        """Of the network in use."""
        ...

    def check(self, grey: NDArray[np.uint8]) -> OodScore:
        """Check uint8 [H, W]; called in several threads at once."""
        ...


@dataclass
class Analysis:
    """What is known of an image; milliseconds of each stage that took place."""

    ood: OodResult
    quality: ImageQuality
    measures: ImageStatistics
    classified: ClassifyResponse | None = None
    detected: DetectResponse | None = None
    triage: TriageInUse | None = None
    problems: list[StudyProblem] = field(default_factory=list)
    models: list[UsedModel] = field(default_factory=list)
    stages_ms: dict[str, float] = field(default_factory=dict)

    @property
    def status(self) -> StudyStatus:
        """What the study's status follows to be."""
        if not self.ood.accepted:
            return StudyStatus.REJECTED
        if not self.problems:
            return StudyStatus.COMPLETE
        nobody = self.classified is None and self.detected is None
        return StudyStatus.FAILED if nobody else StudyStatus.PARTIAL


@dataclass(frozen=True)
class Prepared:
    """A decoded upload, its OOD score, and what the services are sent: None if it is refused."""

    decoded: DecodedImage
    score: OodScore
    image: EncodedImage | None
    stages_ms: dict[str, float]


@dataclass
class _Answers:
    """What both inference services said of an image."""

    classified: ClassifyResponse | None = None
    detected: DetectResponse | None = None
    problems: list[StudyProblem] = field(default_factory=list)
    stages_ms: dict[str, float] = field(default_factory=dict)


class Analyzer:
    """Analyses images; image work in `threads`, the inference services' in the event loop.

    Attributes:
        ood: the OOD detector.
        decoder: by which every file is decoded.
    """

    def __init__(
        self,
        ood: OodModel,
        router: ModelRouter,
        triage: TriageModels,
        *,
        decoder: Decoder,
        threads: ThreadPoolExecutor,
        metrics: GatewayMetrics,
    ) -> None:
        self.ood = ood
        self.decoder = decoder
        self._router = router
        self._triage = triage
        self._threads = threads
        self._metrics = metrics

    async def in_thread(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Run image work in one of the threads for it, as part of the caller's request."""
        loop, context = asyncio.get_running_loop(), copy_context()
        return await loop.run_in_executor(self._threads, context.run, work, *arguments)

    async def prepare(self, load: Callable[[], BinaryIO], limits: Limits) -> Prepared:
        """Decode the file that `load` opens; then check and encode it.

        Raises:
            UnsupportedMedia, Unprocessable, PayloadTooLarge: what decoded refuses.
        """
        decoded, decode_ms = await self.in_thread(self._decode, load, limits)
        return await self.in_thread(self._checked, decoded, decode_ms)

    async def analyze(self, prepared: Prepared, *, asks: bool = True) -> Analysis:
        """Measure the image and ask both inference services, unless it is refused.

        An inference service's failure becomes a problem of the study, never an error.

        Args:
            prepared: the image.
            asks: whether the services are asked; without, image and quality alone are known.
        """
        asking = None
        if asks and prepared.image is not None:
            asking = asyncio.create_task(self._ask_services(prepared.image))
        try:
            analysis = await self.in_thread(self._measured, prepared)
            if not analysis.ood.accepted:
                self._metrics.count_refusal(_refusal(prepared.decoded, analysis.quality))
            elif asking is not None:
                self._take(analysis, await asking)
            return analysis
        finally:
            if asking is not None:
                asking.cancel()
                await asyncio.wait([asking])

    def _decode(self, load: Callable[[], BinaryIO], limits: Limits) -> tuple[DecodedImage, float]:
        with self._metrics.stage("decode") as span, load() as file:
            decoded = self.decoder.decode(file, limits)
        return decoded, span.ms

    def _checked(self, decoded: DecodedImage, decode_ms: float) -> Prepared:
        with self._metrics.stage("ood") as span:
            score = self.ood.check(decoded.grey)
        image = None
        if decoded.refused is None and score.accepted and score.reason is None:
            with self._metrics.stage("encode"):
                image = image_for_services(decoded)
        return Prepared(decoded, score, image, {"decode": decode_ms, "ood": span.ms})

    def _measured(self, prepared: Prepared) -> Analysis:
        decoded = prepared.decoded
        with self._metrics.stage("quality"):
            quality, measures = measure_quality(decoded.grey), measure(decoded.grey)
        ood = accepted(decoded, quality, prepared.score)
        analysis = Analysis(ood, quality, measures, stages_ms=dict(prepared.stages_ms))
        analysis.models.append(ood_model(self.ood.manifest))
        return analysis

    async def _ask_services(self, image: EncodedImage) -> _Answers:
        answers = _Answers()
        async with asyncio.TaskGroup() as group:
            # A map of every finding: whoever asks why gets an answer, whatever the finding.
            classify = self._router.classifier.classify(image, explain=len(Finding))
            detect = self._router.detector.detect(image, min_score=self._triage.min_score)
            classified = group.create_task(self._ask("classifier", classify, answers))
            detected = group.create_task(self._ask("detector", detect, answers))
        answers.classified, answers.detected = classified.result(), detected.result()
        return answers

    def _take(self, analysis: Analysis, answers: _Answers) -> None:
        """Put the services' answers into the analysis, and what triage goes by."""
        analysis.classified, analysis.detected = answers.classified, answers.detected
        pair = (
            answers.classified.model if answers.classified else None,
            answers.detected.model if answers.detected else None,
        )
        analysis.triage = self._triage.of(*pair)
        analysis.problems = sorted(answers.problems, key=lambda problem: problem.service)
        analysis.stages_ms |= answers.stages_ms
        for role, answer in (("classifier", analysis.classified), ("detector", analysis.detected)):
            if answer is not None:
                analysis.models.append(_used_model(role, answer.model))

    async def _ask(self, role: str, call: Awaitable[_T], answers: _Answers) -> _T | None:
        span = None
        try:
            with self._metrics.stage(role, asks=True) as span:
                return await call
        except InferenceFailure as failure:
            answers.problems.append(failure.problem(role))
            return None
        finally:
            if span is not None:
                answers.stages_ms[role] = span.ms


def accepted(decoded: DecodedImage, quality: ImageQuality, score: OodScore) -> OodResult:
    """Whether an image is analysed, and why not.

    What the file itself says decides, then whether anybody could read it; the score stands beside
    it.
    """
    reason = decoded.refused or quality.unreadable or score.reason
    return OodResult(
        accepted=reason is None and score.accepted,
        score=score.score,
        threshold=score.threshold,
        reason=reason,
    )


def _refusal(decoded: DecodedImage, quality: ImageQuality) -> OodRefusal:
    """The class of reason for which the radiograph of `decoded` was refused."""
    if decoded.refused is None:
        return OodRefusal.IMAGE if quality.unreadable is None else OodRefusal.QUALITY
    by_tags = decoded.metadata.source is ImageSource.DICOM
    return OodRefusal.TAGS if by_tags else OodRefusal.COLOUR


def image_for_services(decoded: DecodedImage) -> EncodedImage:
    """What the inference services are sent of a decoded upload, whole: the work of a thread."""
    metadata = decoded.metadata
    image = EncodedImage(stored_png(decoded.grey), "image/png", metadata.width, metadata.height)
    _ = image.form  # made here and kept
    return image


def ood_model(manifest: ModelManifest) -> UsedModel:
    """The OOD detector's network as a study names it."""
    return UsedModel(
        role=ModelRole.OOD,
        name=manifest.name,
        version=manifest.version,
        sha256=manifest.weights.sha256,
    )


def _used_model(role: str, model: ModelIdentity) -> UsedModel:
    return UsedModel(
        role=ModelRole(role), name=model.name, version=model.version, sha256=model.sha256
    )
