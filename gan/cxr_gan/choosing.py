"""Which of many synthetic radiographs a running system agrees with: the page's examples.

A generator that is asked for an effusion does not always draw one. An example is shown under its
finding's name, so the models that are served have to find that in it. To read thousands by the
whole system would take hours: the classifier alone ranks them, and the system reads the best.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
from tqdm import tqdm

from cxr_classifier.predictor import ClassifierPredictor
from cxr_classifier.preprocessing import GreyImage
from cxr_contracts import FindingProbability, Level
from cxr_gan.errors import GanError
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import choose_model, open_model_folder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.core.cpu import usable_cores

_BATCH = 8

# Larger is better; none: the system does not agree.
Merit = tuple[float, ...]


@dataclass(frozen=True)
class Chosen:
    """The seed that was chosen, None if there is none, and of how many the system agreed with."""

    seed: int | None
    agreed: int


class RunningSystem:
    """A system's API at `url`, for instance http://localhost:8000.

    Every radiograph that it reads becomes a study there: name one that nobody works with. A
    context manager.
    """

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()

    def study(self, png: bytes) -> dict[str, Any]:
        """What it says of an image; GanError if it does not answer or could not analyse it."""
        png_file = {"file": ("candidate.png", png)}
        study: dict[str, Any] = self._asked("POST", "/api/v1/studies", files=png_file)
        if study["status"] == "partial":
            raise GanError(f"{self._client.base_url} works in part only: a service is down")
        return study

    def models(self) -> list[dict[str, Any]]:
        """Role, name, version and checksum of what it serves; GanError likewise."""
        models: list[dict[str, Any]] = self._asked("GET", "/api/v1/system")["models"]
        return models

    def _asked(self, method: str, path: str, **more: Any) -> Any:
        try:
            return self._client.request(method, path, **more).raise_for_status().json()
        except httpx.HTTPError as error:
            raise GanError(f"{self._client.base_url} does not read radiographs: {error}") from None


class Ranking:
    """A published classifier in this process: which candidates are worth the system's time."""

    def __init__(self, folder: Path) -> None:
        """Open the one that `folder` means: itself, or its default; ModelFolderError for none."""
        opened = open_model_folder(choose_model(folder), "classifier")
        runtime = OnnxRuntime(opened.onnx(), threads=usable_cores())
        self._predictor = ClassifierPredictor(opened.manifest, runtime)

    def best(
        self,
        seeds: Sequence[int],
        finding: str | None,
        image_of: Callable[[int], GreyImage],
        most: int,
    ) -> list[int]:
        """The `most` seeds whose images fit a name best by the classifier alone, best first.

        Args:
            seeds: what to rank.
            finding: what they are to show; None: no finding.
            image_of: the radiograph of a seed.
            most: how many.
        """
        promises: dict[int, Merit] = {}
        with tqdm(total=len(seeds), unit="image", desc=finding or "No Finding", delay=2) as bar:
            for start in range(0, len(seeds), _BATCH):
                some = seeds[start : start + _BATCH]
                images = [DecodedImage(image_of(seed), "png") for seed in some]
                outputs = self._predictor.predict(list(map(self._predictor.prepare, images)))
                for seed, output in zip(some, outputs, strict=True):
                    promises[seed] = promise(output.findings_and_cams(0)[0], finding)
                bar.update(len(some))
        return sorted(promises, key=lambda seed: promises[seed], reverse=True)[:most]


def promise(findings: Sequence[FindingProbability], finding: str | None) -> Merit:
    """How well a classifier's answer alone fits a name: as `merit`, which asks for a study.

    Args:
        findings: all of them, the strongest evidence first.
        finding: as of `merit`.
    """
    likely = sum(item.level is Level.LIKELY for item in findings)
    possible = sum(item.level is Level.POSSIBLE for item in findings)
    if finding is None:
        return (-float(likely), -float(possible), -max(map(_strength, findings)))
    first = findings[0]
    agrees = first.finding.value == finding and first.level is Level.LIKELY
    own = next((item for item in findings if item.finding.value == finding), None)
    return (float(agrees), -float(likely), _strength(own) if own else 0.0)


def _strength(item: FindingProbability) -> float:
    """Against the point from which it is likely: findings are rare in different degrees."""
    return item.probability / item.likely_threshold if item.likely_threshold else item.probability


def merit(study: dict[str, Any], finding: str | None) -> Merit | None:
    """How well a study fits its name; None if the system says something else.

    Args:
        study: as the API gives it.
        finding: what the radiograph is to show; None: no finding.
    """
    if study["status"] != "complete":
        return None
    likely = [item for item in study["findings"] if item["level"] == "likely"]
    possible = [item for item in study["findings"] if item["level"] == "possible"]
    if finding is None:
        if likely or study["triage"]["priority"] != "routine":
            return None
        return (-float(len(study["boxes"])), -float(len(possible)))
    first = study["findings"][0]
    if first["finding"] != finding or first["level"] != "likely":
        return None
    is_boxed = any(box["finding"] == finding for box in study["boxes"])
    return (float(is_boxed), -float(len(likely)), first["probability"])


@dataclass(frozen=True)
class Choosing:
    """How each example is chosen: of so many made, the system reads so many, and it takes one.

    Attributes:
        system: reads them.
        ranking: chooses those that it reads; is not asked where it reads all.
        candidates: images made for each example.
        read: images that the system reads for each.
        refused: seeds that a person looked at and does not want.
    """

    system: RunningSystem
    ranking: Ranking
    candidates: int
    read: int
    refused: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if min(self.candidates, self.read) < 1:
            raise GanError(
                f"{self.candidates} candidates, {self.read} to be read: at least one is needed"
            )

    def worth_reading(
        self, first_seed: int, finding: str | None, image_of: Callable[[int], GreyImage]
    ) -> list[int]:
        """The seeds from `first_seed` on that the system is to read; see `Ranking.best`."""
        seeds = range(first_seed, first_seed + self.candidates)
        if self.candidates <= self.read:
            return list(seeds)
        return self.ranking.best(seeds, finding, image_of, self.read)


def choose(
    seeds: Iterable[int],
    finding: str | None,
    read: Callable[[int], dict[str, Any]],
    refused: Container[int] = (),
) -> Chosen:
    """The best of `seeds` with which the system agrees.

    Args:
        seeds: what to choose among; of equal ones the first.
        finding: what they are to show; None: no finding.
        read: what the system says of the radiograph of a seed.
        refused: seeds that count and are not chosen.
    """
    merits = {seed: merit(read(seed), finding) for seed in seeds}
    agreed = {seed: value for seed, value in merits.items() if value is not None}
    wanted = [seed for seed in agreed if seed not in refused]
    return Chosen(max(wanted, key=lambda seed: agreed[seed], default=None), len(agreed))
