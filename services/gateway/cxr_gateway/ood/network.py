"""The network of a published OOD detector: loaded from its folder, and run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cxr_contracts import MANIFEST_NAME, LabelSpec, ModelManifest
from cxr_gateway.ood.rules import OodRules
from cxr_serving.model_folder import ModelFolderError, open_model_folder

INPUT_NAME = "image"
LOGIT_OUTPUT = "chest_logit"
KINDS_OUTPUT = "kind_probabilities"


class OodExtra(BaseModel):
    """What an OOD detector's manifest says beyond other models' (`extra`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kinds: list[str] = Field(
        min_length=2, description="Names of the network's classes; the first is the radiograph."
    )
    kind_reasons: dict[str, str] = Field(
        description="What to tell the sender when a class is likely, e.g. `It looks inverted.`"
    )
    rules: OodRules


@dataclass(frozen=True, slots=True)
class OodNetwork:
    """A loaded network and what its manifest says of it."""

    manifest: ModelManifest
    extra: OodExtra
    session: ort.InferenceSession

    @property
    def label(self) -> LabelSpec:
        """The one output: threshold and calibration."""
        return self.manifest.labels[0]

    def run(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the network.

        Args:
            images: canonical images, float32 [N, 1, side, side] in 0..1.

        Returns:
            The uncalibrated logit of being a frontal chest radiograph, [N], and the probability
            of each kind, [N, kinds].
        """
        spec = self.manifest.input
        batch = (images - np.float32(spec.mean)) / np.float32(spec.std)
        logit, kinds = self.session.run([LOGIT_OUTPUT, KINDS_OUTPUT], {INPUT_NAME: batch})
        return np.asarray(logit, np.float32), np.asarray(kinds, np.float32)


def load_model(path: Path) -> OodNetwork:
    """Read the manifest, check both weight files against it, and open the ONNX network.

    Raises:
        ModelFolderError: a missing, altered or contradictory file.
    """
    folder = open_model_folder(path, "ood")
    manifest, where = folder.manifest, path / MANIFEST_NAME
    try:
        extra = OodExtra.model_validate(manifest.extra)
    except ValidationError as error:
        raise ModelFolderError(f"{where}: `extra` is wrong: {error}") from error
    if len(manifest.labels) != 1:
        raise ModelFolderError(f"{where}: one label is needed, found {len(manifest.labels)}")
    if manifest.input.width_px != manifest.input.height_px or manifest.input.channels != 1:
        raise ModelFolderError(f"{where}: the input must be a square grey image")
    folder.weights()
    return OodNetwork(manifest, extra, _open(path / manifest.onnx.path, folder.onnx()))


def _open(path: Path, network: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # One thread: the network takes less time than waking a pool would.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base below Exception
        raise ModelFolderError(f"{path}: ONNX Runtime cannot open it: {error}") from error
    missing = {LOGIT_OUTPUT, KINDS_OUTPUT} - {output.name for output in session.get_outputs()}
    if missing:
        raise ModelFolderError(f"{path}: has no output {sorted(missing)}")
    return session
