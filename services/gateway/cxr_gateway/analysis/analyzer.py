"""The analysis of one image: the OOD detector, then both inference services at once."""

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
    """A decoded upload, the OOD result, and what the services are sent: None if it is refused."""

    decoded: DecodedImage
    measures: ImageStatistics
    quality: ImageQuality
    ood: OodResult
    image: EncodedImage | None
    stages_ms: dict[str, float]


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
        """Decode the file that `load` opens; then check, measure and encode it.

        Raises:
            UnsupportedMedia, Unprocessable, PayloadTooLarge: what decoded refuses.
        """
        decoded, decode_ms = await self.in_thread(self._decode, load, limits)
        prepared = await self.in_thread(self._checked, decoded, decode_ms)
        if not prepared.ood.accepted:
            self._metrics.count_refusal(_refusal(decoded, prepared.quality))
        return prepared

    async def analyze(self, prepared: Prepared) -> Analysis:
        """Ask both inference services, unless the OOD detector refused the image.

        An inference service's failure becomes a problem of the study, never an error.
        """
        analysis = Analysis(prepared.ood, stages_ms=dict(prepared.stages_ms))
        analysis.models.append(ood_model(self.ood.manifest))
        if prepared.image is not None:
            await self._ask_services(analysis, prepared.image)
        return analysis

    def _decode(self, load: Callable[[], BinaryIO], limits: Limits) -> tuple[DecodedImage, float]:
        with self._metrics.stage("decode") as span, load() as file:
            decoded = self.decoder.decode(file, limits)
        return decoded, span.ms

    def _checked(self, decoded: DecodedImage, decode_ms: float) -> Prepared:
        # One after another: two threads on one image take longer than one.
        with self._metrics.stage("ood") as span:
            score = self.ood.check(decoded.grey)
        with self._metrics.stage("quality"):
            quality, measures = measure_quality(decoded.grey), measure(decoded.grey)
        ood = accepted(decoded, quality, score)
        image = None
        if ood.accepted:
            with self._metrics.stage("encode"):
                image = image_for_services(decoded)
        stages_ms = {"decode": decode_ms, "ood": span.ms}
        return Prepared(decoded, measures, quality, ood, image, stages_ms)

    async def _ask_services(self, analysis: Analysis, image: EncodedImage) -> None:
        async with asyncio.TaskGroup() as group:
            # A map of every finding: whoever asks why gets an answer, whatever the finding.
            classify = self._router.classifier.classify(image, explain=len(Finding))
            detect = self._router.detector.detect(image, min_score=self._triage.min_score)
            classified = group.create_task(self._ask("classifier", classify, analysis))
            detected = group.create_task(self._ask("detector", detect, analysis))
        analysis.classified, analysis.detected = classified.result(), detected.result()
        pair = (
            analysis.classified.model if analysis.classified else None,
            analysis.detected.model if analysis.detected else None,
        )
        analysis.triage = self._triage.of(*pair)
        analysis.problems.sort(key=lambda problem: problem.service)
        for role, answer in (("classifier", analysis.classified), ("detector", analysis.detected)):
            if answer is not None:
                analysis.models.append(_used_model(role, answer.model))

    async def _ask(self, role: str, call: Awaitable[_T], analysis: Analysis) -> _T | None:
        span = None
        try:
            with self._metrics.stage(role, asks=True) as span:
                return await call
        except InferenceFailure as failure:
            analysis.problems.append(failure.problem(role))
            return None
        finally:
            if span is not None:
                analysis.stages_ms[role] = span.ms


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
