"""The services' models in one process: bytes of a file to what the API would answer for it.

Every step is the services' own code. Only what lies between them is left out: HTTP, and the PNG
without compression in which the gateway sends the decoded image.
"""

import hashlib
import importlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from cxr_classifier.predictor import load_predictor as load_classifier
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import (
    ClassifyResponse,
    DetectResponse,
    Finding,
    ImageSize,
    ModelIdentity,
    ModelManifest,
)
from cxr_detector.app import detected_boxes
from cxr_detector.loading import load_predictor as load_detector
from cxr_detector.settings import DetectorSettings
from cxr_gateway.analysis.analyzer import accepted
from cxr_gateway.analysis.merge import Prediction, predict
from cxr_gateway.analysis.triage_folder import TriageModelError, read_triage_models
from cxr_gateway.analysis.triage_model import TriageModels
from cxr_gateway.core.schemas import (
    FailureKind,
    ImageQuality,
    ModelRole,
    OodResult,
    StudyProblem,
    StudyStatus,
)
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.imaging import DecodedImage, Limits, read_upload
from cxr_gateway.imaging.quality import measure_quality
from cxr_gateway.inference.failures import InferenceFailure
from cxr_gateway.inference.response_validation import check_classified, check_detected
from cxr_gateway.ood import load_ood_detector
from cxr_screening.errors import ScreeningError
from cxr_serving.imaging import DecodedImage as ServiceImage
from cxr_serving.model_folder import ModelFolderError, choose_model, identity_of, manifest_in
from cxr_serving.product import VERSION

_T = TypeVar("_T")
# Whatever decides on a number of a row: a change here is another engine.
_COMPUTING = (
    "cxr_serving.imaging",
    "cxr_gateway.imaging",
    "cxr_gateway.ood",
    "cxr_gateway.analysis",
    "cxr_classifier",
    "cxr_detector",
)
FINGERPRINT_CHARS = 16


@dataclass(frozen=True)
class EngineConfig:
    """Which models, and within which limits: what the services' own settings say."""

    ood_dir: str
    classifier_dir: str
    detector_dir: str
    triage_dir: str
    alert_budget: float
    soon_budget: float
    max_bytes: int
    max_pixels: int
    runtime: str
    device: str

    @classmethod
    def from_settings(cls) -> "EngineConfig":
        """From `CXR_GATEWAY_*`, `CXR_CLASSIFIER_*` and `CXR_DETECTOR_*`, as the services read them.

        Raises:
            ScreeningError: a setting that makes no sense.
        """
        try:
            gateway, classifier = GatewaySettings(), ClassifierSettings()
            detector = DetectorSettings()
            detector_dir = choose_model(detector.model_dir, detector.model)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise ScreeningError(f"A setting of the services is wrong: {first['msg']}.") from error
        except ModelFolderError as error:
            raise ScreeningError(str(error)) from error
        return cls(
            ood_dir=str(gateway.ood_model_dir.resolve()),
            classifier_dir=str(classifier.model_dir.resolve()),
            detector_dir=str(detector_dir.resolve()),
            triage_dir=str(gateway.triage_dir.resolve()),
            alert_budget=gateway.alert_budget,
            soon_budget=gateway.soon_budget,
            max_bytes=gateway.max_upload_bytes,
            max_pixels=gateway.max_pixels,
            runtime=classifier.runtime,
            device=classifier.device,
        )

    def triage_models(self) -> TriageModels:
        """Those of the folder. Raises TriageModelError."""
        found = read_triage_models(Path(self.triage_dir))
        return TriageModels(found, self.alert_budget, self.soon_budget)


@dataclass(frozen=True)
class EngineIdentity:
    """What an output says of the engine that wrote it."""

    fingerprint: str
    parts: dict[str, Any]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What its classifier knows: the fourteen in their order, or the model's own in its."""
        return tuple(Finding(name) for name in self.parts["findings"])

    @property
    def short(self) -> str:
        """As the folders are called."""
        return self.fingerprint[:FINGERPRINT_CHARS]


def identify(config: EngineConfig) -> EngineIdentity:
    """The fingerprint of weights, thresholds, fitted constants, limits and code.

    Raises:
        ScreeningError: a model folder that cannot be used.
    """
    try:
        manifests = {
            role: manifest_in(Path(folder), ModelManifest)
            for role, folder in (
                ("ood", config.ood_dir),
                ("classifier", config.classifier_dir),
                ("detector", config.detector_dir),
            )
        }
        triage_models = config.triage_models()
    except (ModelFolderError, TriageModelError) as error:
        raise ScreeningError(str(error)) from error
    pair = identity_of(manifests["classifier"]), identity_of(manifests["detector"])
    triage = triage_models.of(*pair)
    parts: dict[str, Any] = {
        "version": VERSION,
        "models": {
            role: {
                **identity_of(one).model_dump(),
                # Thresholds and calibration stand in it.
                "manifest_sha256": _sha256(one.model_dump_json().encode()),
            }
            for role, one in manifests.items()
        },
        "triage": triage.model.used.model_dump() if triage else None,
        "triage_thresholds": asdict(triage.thresholds) if triage else None,
        "limits": {"max_bytes": config.max_bytes, "max_pixels": config.max_pixels},
        "runtime": config.runtime,
        "code_sha256": _code(),
        "findings": _findings(manifests["classifier"]),
    }
    # The version of the product names a release, and the manifests have the findings; what it
    # computes is in the rest.
    told = ("version", "findings")
    computing = {name: value for name, value in parts.items() if name not in told}
    return EngineIdentity(_sha256(json.dumps(computing, sort_keys=True).encode()), parts)


def _findings(classifier: ModelManifest) -> list[str]:
    names = [label.name for label in classifier.labels]
    return [one.value for one in Finding] if set(names) == set(Finding) else names


@dataclass
class Analysis:
    """What the engine says of one file; milliseconds of each stage that took place."""

    status: StudyStatus
    decoded: DecodedImage | None = None
    quality: ImageQuality | None = None
    ood: OodResult | None = None
    prediction: Prediction | None = None
    problems: list[StudyProblem] = field(default_factory=list)
    stages_ms: dict[str, float] = field(default_factory=dict)


class Engine:
    """Loaded models. For one thread.

    Args:
        config: which.
        threads: of one run of a network; a pool of engines has a core each.

    Raises:
        ScreeningError: A model that cannot be loaded.
    """

    def __init__(self, config: EngineConfig, threads: int = 1) -> None:
        # One image at a time: on a CPU a batch makes nothing faster, and the last digit of a sum
        # may depend on the size of the batch.
        sized: dict[str, Any] = {
            "threads": threads,
            "runtime": config.runtime,
            "device": config.device,
            "max_batch_size": 1,
        }
        try:
            self._ood = load_ood_detector(Path(config.ood_dir))
            self._classifier = load_classifier(
                ClassifierSettings(model_dir=Path(config.classifier_dir), **sized)
            )
            self._detector = load_detector(
                DetectorSettings(model_dir=Path(config.detector_dir), model=None, **sized)
            )
            triage_models = config.triage_models()
        except (ModelFolderError, TriageModelError) as error:
            raise ScreeningError(str(error)) from error
        self._limits = Limits(max_bytes=config.max_bytes, max_pixels=config.max_pixels)
        self._models = (
            identity_of(self._classifier.manifest),
            identity_of(self._detector.manifest),
        )
        self._triage = triage_models.of(*self._models)
        score = triage_models.min_score
        # As the gateway writes it into the address of its request.
        self._min_score = None if score is None else float(f"{score:g}")

    def analyse(self, content: bytes) -> Analysis:
        """The analysis of a file.

        Raises:
            ServiceError: what the API refuses: not an image, damaged, too large.
        """
        stages_ms: dict[str, float] = {}
        with _measured(stages_ms, "decode"):
            decoded = read_upload(content, limits=self._limits)
        with _measured(stages_ms, "ood"):
            score = self._ood.check(decoded.grey)
        with _measured(stages_ms, "quality"):
            quality = measure_quality(decoded.grey)
        ood = accepted(decoded, quality, score)
        analysis = Analysis(StudyStatus.REJECTED, decoded, quality, ood, stages_ms=stages_ms)
        if not ood.accepted:
            return analysis
        image = ServiceImage(decoded.grey, "png")
        problems = analysis.problems
        with _measured(stages_ms, "classifier"):
            classified = _answer(ModelRole.CLASSIFIER, problems, lambda: self._classify(image))
        with _measured(stages_ms, "detector"):
            detected = _answer(ModelRole.DETECTOR, problems, lambda: self._detect(image))
        both = classified is not None and detected is not None
        analysis.prediction = predict(classified, detected, self._triage if both else None)
        if not problems:
            analysis.status = StudyStatus.COMPLETE
        else:
            nobody = classified is None and detected is None
            analysis.status = StudyStatus.FAILED if nobody else StudyStatus.PARTIAL
        return analysis

    @property
    def models(self) -> tuple[ModelIdentity, ModelIdentity]:
        """Classifier and detector."""
        return self._models

    def _classify(self, image: ServiceImage) -> ClassifyResponse:
        [output] = self._classifier.predict([self._classifier.prepare(image)])
        findings, cams = output.findings_and_cams(0)
        answer = ClassifyResponse(
            model=self._models[0],
            calibrated=self._classifier.manifest.calibrated,
            findings=findings,
            cams=cams,
        )
        check_classified(answer, _labels(self._classifier.manifest))
        return answer

    def _detect(self, image: ServiceImage) -> DetectResponse:
        prepared = replace(self._detector.prepare(image), min_score=self._min_score)
        [detections] = self._detector.predict([prepared])
        answer = DetectResponse(
            model=self._models[1],
            image=ImageSize(width=image.width, height=image.height),
            boxes=detected_boxes(detections, self._detector.manifest),
        )
        check_detected(answer, image.width, image.height, _labels(self._detector.manifest))
        return answer


def _labels(manifest: ModelManifest) -> list[str]:
    return [label.name for label in manifest.labels]


def _answer(role: ModelRole, problems: list[StudyProblem], ask: Callable[[], _T]) -> _T | None:
    try:
        return ask()
    except InferenceFailure as failure:
        problems.append(failure.problem(role))
    except Exception as error:  # one image must not end a night's work
        detail = f"it failed on this image: {type(error).__name__}"
        problems.append(StudyProblem(service=role, kind=FailureKind.ERROR, detail=detail))
    return None


@contextmanager
def _measured(stages_ms: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        stages_ms[stage] = round((time.perf_counter() - started) * 1000, 3)


def _code() -> str:
    digest = hashlib.sha256()
    for name in _COMPUTING:
        module = importlib.import_module(name)
        for root in sorted(module.__path__):
            for path in sorted(Path(root).rglob("*.py")):
                digest.update(f"{name}/{path.relative_to(root).as_posix()}\0".encode())
                digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def available_cores() -> int:
    """Of this machine, for this process."""
    return len(os.sched_getaffinity(0))
