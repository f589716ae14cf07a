"""The trained weights of the reference arm, which label the images of one generator."""

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file

from cxr_classifier.network import CamNetwork, build_member, load_weights
from cxr_contracts import Architecture, InputSpec
from cxr_training.classifier.loop import Trainer
from cxr_training.classifier.samples import LABELS


@dataclass(frozen=True, slots=True)
class Teacher:
    """A classifier of the study, on disk."""

    weights: Path
    architecture: Architecture
    spec: InputSpec

    def network(self) -> CamNetwork:
        """Ready to answer."""
        network = build_member(self.architecture, len(LABELS))
        return load_weights(network, load_file(self.weights))


def keep_as_teacher(trainer: Trainer, path: Path) -> None:
    """Write the averaged weights of a finished training, whole or not at all."""
    state = {x: tensor.cpu().contiguous() for x, tensor in trainer.average.state_dict().items()}
    partial = path.with_suffix(".partial")
    save_file(state, partial)
    partial.rename(path)
