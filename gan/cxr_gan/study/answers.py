"""What a finished training says of the validation images: all that the statistics need."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

ANSWERS = "validation.npz"


@dataclass(frozen=True, slots=True)
class Answers:
    """Of one training, the images in the order of the data set.

    `logits` and `targets` are float32 [N, 14]; a target is 0, 1, or `MASKED` where the label is
    not judged on files of that size.
    """

    logits: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    patients: npt.NDArray[np.str_]
    key: str
    """Of what was trained; another one for another arm, plan, generator or data set."""
    seconds: float
    """That the training took, without pauses."""
    steps: int
    """Of the optimiser, all stages together."""


def write_answers(folder: Path, answers: Answers) -> None:
    """Into the training's folder, whole or not at all: from then on it is over."""
    partial = folder / f"{ANSWERS}.partial"
    with partial.open("wb") as stream:
        np.savez_compressed(
            stream,
            logits=answers.logits,
            targets=answers.targets,
            patients=answers.patients,
            key=np.array(answers.key),
            seconds=np.array(answers.seconds),
            steps=np.array(answers.steps),
        )
    partial.rename(folder / ANSWERS)


def read_answers(folder: Path) -> Answers | None:
    """Those of the training in `folder`; None where it is not over."""
    path = folder / ANSWERS
    if not path.exists():
        return None
    with np.load(path) as kept:
        return Answers(
            logits=kept["logits"],
            targets=kept["targets"],
            patients=kept["patients"],
            key=str(kept["key"]),
            seconds=float(kept["seconds"]),
            steps=int(kept["steps"]),
        )
