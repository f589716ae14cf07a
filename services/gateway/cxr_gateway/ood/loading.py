"""Loads the gate's published folder; nothing is trusted that the manifest does not vouch for."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cxr_contracts import MANIFEST_NAME, LabelSpec, ModelFile, ModelManifest
from cxr_gateway.ood.rules import OodRules

INPUT_NAME = "image"
LOGIT_OUTPUT = "chest_logit"
KINDS_OUTPUT = "kind_probabilities"


class OodModelError(RuntimeError):
    """The model folder cannot be served; the message names the file and what is wrong."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path


class OodExtra(BaseModel):
    """What a gate's manifest says beyond other models' (`extra`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kinds: list[str] = Field(
        min_length=2, description="Names of the network's classes; the first is the radiograph."
    )
    kind_reasons: dict[str, str] = Field(
        description="What to tell the sender when a class is likely, e.g. `It looks inverted.`"
    )
    rules: OodRules


@dataclass(frozen=True, slots=True)
class GateModel:
    """A loaded network and what its manifest says of it."""

    manifest: ModelManifest
    extra: OodExtra
    session: ort.InferenceSession

    @property
    def label(self) -> LabelSpec:
        """The one output: threshold and calibration."""
        return self.manifest.labels[0]

    def run(self, pictures: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the network.

        Args:
            pictures: canonical pictures, float32 [N, 1, side, side] in 0..1.

        Returns:
            The uncalibrated logit of being a frontal chest radiograph, [N], and the probability
            of each kind, [N, kinds].
        """
        spec = self.manifest.input
        batch = (pictures - np.float32(spec.mean)) / np.float32(spec.std)
        logit, kinds = self.session.run([LOGIT_OUTPUT, KINDS_OUTPUT], {INPUT_NAME: batch})
        return np.asarray(logit, np.float32), np.asarray(kinds, np.float32)


def load_model(folder: Path) -> GateModel:
    """Read the manifest, check both weight files against it, and open the ONNX network.

    Raises:
        OodModelError: a missing, altered or contradictory file.
    """
    manifest = _read_manifest(folder / MANIFEST_NAME)
    try:
        extra = OodExtra.model_validate(manifest.extra)
    except ValidationError as error:
        raise OodModelError(folder / MANIFEST_NAME, f"`extra` is wrong: {error}") from error
    _checked_bytes(folder, manifest.weights)
    network = _checked_bytes(folder, manifest.onnx)
    session = _open(folder / manifest.onnx.path, network)
    return GateModel(manifest, extra, session)


def _read_manifest(path: Path) -> ModelManifest:
    try:
        manifest = ModelManifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise OodModelError(path, f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise OodModelError(path, f"is not a model manifest: {error}") from error
    if manifest.role != "ood":
        raise OodModelError(path, f"describes a {manifest.role}, not a gate")
    if len(manifest.labels) != 1:
        raise OodModelError(path, f"a gate has one label, found {len(manifest.labels)}")
    if manifest.input.width_px != manifest.input.height_px or manifest.input.channels != 1:
        raise OodModelError(path, "a gate looks at a square grey picture")
    return manifest


def _checked_bytes(folder: Path, file: ModelFile) -> bytes:
    path = folder / file.path
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OodModelError(path, f"cannot be read ({error.strerror})") from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise OodModelError(path, f"sha256 is {found}, the manifest says {file.sha256}")
    return content


def _open(path: Path, network: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # One thread: the network takes less time than waking a pool would.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base below Exception
        raise OodModelError(path, f"ONNX Runtime cannot open it: {error}") from error
    missing = {LOGIT_OUTPUT, KINDS_OUTPUT} - {output.name for output in session.get_outputs()}
    if missing:
        raise OodModelError(path, f"has no output {sorted(missing)}")
    return session
