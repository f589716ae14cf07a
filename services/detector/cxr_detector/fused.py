"""Several published detectors as one: each sees an image in its own way; their boxes are fused.

Such a model's folder holds no network of its own. Its `members.json`, which stands for its weights
as well as for its ONNX file, names the folders beside it and the sha256 of what lies in them, so
that the sha256 by which the model is known pins every network that runs. `members.int8.json`, which
stands for its 8-bit file, does so for those of the members: what they lose together was measured.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cxr_contracts import (
    MOST_BOXES,
    Architecture,
    ModelManifest,
    QuantisedModel,
    Region,
    Sha256,
)
from cxr_detector.fusion import fuse
from cxr_detector.postprocessing import Detections, FloatArray
from cxr_detector.predictor import DetectorPredictor, NetworkInput, Prepared
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import (
    MODEL_NAME,
    ModelFolder,
    ModelFolderError,
    checked_bytes,
    open_model_folder,
)
from cxr_serving.quantised import INT8_RUNTIME

MEMBERS_FILE, QUANTISED_MEMBERS_FILE = "members.json", "members.int8.json"
LIBRARY, NAME = "cxr", "fused-boxes"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Member(_Strict):
    """A published detector, whose folder lies beside the one that names it."""

    name: str = Field(pattern=MODEL_NAME, description="Of its folder.")
    version: str
    weights_sha256: Sha256
    onnx_sha256: Sha256


class Members(_Strict):
    """The content of `members.json`."""

    members: list[Member] = Field(min_length=2)


class QuantisedMember(_Strict):
    """A member with an 8-bit file."""

    name: str = Field(pattern=MODEL_NAME, description="Of its folder.")
    onnx_sha256: Sha256 = Field(description="Of that file.")


class QuantisedMembers(_Strict):
    """The content of `members.int8.json`."""

    members: list[QuantisedMember] = Field(min_length=1)


def is_fused(architecture: Architecture) -> bool:
    """Whether a manifest is that of such a model."""
    return (architecture.library, architecture.name) == (LIBRARY, NAME)


def member_folders(folder: ModelFolder) -> list[ModelFolder]:
    """The folders of the members, in their order; what lies in them is checked as it is read.

    Raises:
        ModelFolderError: `members.json` is not the manifest's or makes no sense, or a member is
            missing or another one than it names.
    """
    try:
        members = Members.model_validate_json(folder.weights()).members
    except ValidationError as error:
        raise ModelFolderError(f"{folder.path / MEMBERS_FILE} names no members: {error}") from error
    found = []
    for member in members:
        one = open_model_folder(folder.path.parent / member.name, "detector")
        files = (one.manifest.weights.sha256, one.manifest.onnx.sha256)
        if files != (member.weights_sha256, member.onnx_sha256):
            raise ModelFolderError(
                f"{one.path} is another {member.name} than the one of version {member.version} "
                f"that {folder.manifest.name} was fused from; fuse them again."
            )
        if is_fused(one.manifest.architecture):
            raise ModelFolderError(f"{one.path} is itself fused from others.")
        found.append(one)
    return found


def quantised_members(members: Sequence[ModelFolder]) -> list[QuantisedMember]:
    """Those that have an 8-bit file; the others run as they are."""
    return [
        QuantisedMember(name=member.path.name, onnx_sha256=member.manifest.int8.onnx.sha256)
        for member in members
        if member.manifest.int8 is not None
    ]


def why_not_quantised(folder: ModelFolder, int8: QuantisedModel) -> str | None:
    """Why the members' 8-bit files may not run together, as half a sentence; None if they may.

    Raises:
        ModelFolderError: as `member_folders`.
    """
    if int8.failed_gate is not None:
        return int8.failed_gate
    try:
        measured = QuantisedMembers.model_validate_json(checked_bytes(folder.path, int8.onnx))
    except ModelFolderError as error:
        return str(error)
    except ValidationError:
        return f"{int8.onnx.path} names no members"
    if measured.members != quantised_members(member_folders(folder)):
        return "its members' files are others than those that were measured"
    return None


class FusedPredictor:
    """Loaded members, and how their boxes become one list.

    Args:
        manifest: of the fused model.
        members: in the order of `members.json`.
        at_once: how many of them run at the same time, at least 1.

    Raises:
        ModelFolderError: The members know other regions than the manifest, or it makes no sense.
    """

    def __init__(
        self, manifest: ModelManifest, members: Sequence[DetectorPredictor], *, at_once: int = 1
    ) -> None:
        self.manifest = manifest
        runtimes = [member.runtime for member in members]
        self.runtime = INT8_RUNTIME if INT8_RUNTIME in runtimes else runtimes[0]
        self.device = members[0].device
        self._members = list(members)
        self._pool = ThreadPoolExecutor(at_once, "detector-member")
        # The longest first, so that none is left over at the end.
        self._begun = sorted(
            range(len(members)), key=lambda n: members[n].manifest.onnx.bytes, reverse=True
        )
        self._thresholds = np.array([label.threshold for label in manifest.labels], np.float32)
        try:
            self.regions = [Region(label.name) for label in manifest.labels]
            self._iou = float(manifest.architecture.arguments["iou"])
            self._lowest = float(manifest.architecture.arguments["lowest_score"])
            self._max_boxes = int(manifest.extra["max_boxes"])
        except (ValueError, TypeError, KeyError) as error:
            raise ModelFolderError(f"The manifest of {manifest.name} is wrong: {error}.") from error
        for member in members:
            if member.regions != self.regions:
                raise ModelFolderError(
                    f"{member.manifest.name} knows other regions than {manifest.name}."
                )

    def prepare(self, image: DecodedImage) -> Prepared:
        """Each member's input for one image; members that take the same share one."""
        inputs: dict[object, NetworkInput] = {}
        for member in self._members:
            if member.takes not in inputs:
                inputs[member.takes] = member.prepare(image).inputs[0]
        return Prepared(tuple(inputs[member.takes] for member in self._members))

    def predict(self, batch: Sequence[Prepared]) -> list[Detections]:
        """The boxes of each input's image, in pixels of that image."""
        # An image at a time on a CPU, for a batch would not stay in a core's cache; a GPU
        # takes all at once.
        step = 1 if self.device == "cpu" else len(batch)
        parts = [batch[start : start + step] for start in range(0, len(batch), step)]

        def ask(task: tuple[int, int]) -> list[Detections]:
            n, part = task
            # All that it has: a fused score must not depend on what passes the thresholds.
            inputs = [Prepared((one.inputs[n],), self._lowest) for one in parts[part]]
            return self._members[n].predict(inputs)

        tasks = [(n, part) for n in self._begun for part in range(len(parts))]
        asked = dict(zip(tasks, self._pool.map(ask, tasks), strict=True))
        # Of each image, what each member detected.
        by_image = [
            image
            for part in range(len(parts))
            for image in zip(*(asked[n, part] for n in range(len(self._members))), strict=True)
        ]
        return [
            select_boxes(
                fuse(detections, iou=self._iou),
                self._thresholds,
                max_boxes=self._max_boxes,
                min_score=one.min_score,
            )
            for one, detections in zip(batch, by_image, strict=True)
        ]

    def warm_up(self, max_batch_size: int) -> None:
        """Each member's. Raises ModelFolderError."""
        for member in self._members:
            member.warm_up(max_batch_size)


def select_boxes(
    detections: Detections,
    thresholds: FloatArray,
    *,
    max_boxes: int,
    min_score: float | None = None,
) -> Detections:
    """The detections above threshold, best first, and those below if they are asked for.

    Args:
        detections: the fused boxes of one image, best first.
        thresholds: [classes], the lowest score reported of each class.
        max_boxes: at most so many are above threshold.
        min_score: down to here, boxes below their thresholds come, too, up to `MOST_BOXES` of
            them all; without it, only those above.
    """
    above = detections.scores >= thresholds[detections.labels]
    reported = above & (np.cumsum(above) <= max_boxes)
    kept = reported
    if min_score is not None:
        # What is reported is never pushed out by a crowd of others.
        spare = ((detections.scores >= np.float32(min_score)) | above) & ~reported
        room = max(MOST_BOXES, max_boxes) - int(reported.sum())
        kept = reported | (spare & (np.cumsum(spare) <= room))
    return Detections(
        detections.labels[kept], detections.scores[kept], detections.boxes[kept], reported[kept]
    )
