"""What a training on one's own table is asked for, and what is done before the first step."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cxr_training.core.errors import ConfigError, RunError
from cxr_training.core.runs import sha256_of
from cxr_training.data.nih import ANNOTATION_FRAME_PX
from cxr_training.data.own import Layout, OwnData, read_own, summary
from cxr_training.data.pixels import decode_grey
from cxr_training.data.splits import Split
from cxr_training.export.publishing import refuse_taken

EXAMPLES = "examples.png"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SHOWN = 16
# Images that a training sees in all, unless told: a quarter of an hour on two cores.
_SEEN = 8000
_FEWEST_EPOCHS, _MOST_EPOCHS = 5, 40


@dataclass(frozen=True, slots=True)
class Request:
    """A model that is to be made of a table."""

    data: Path
    layout: Layout
    name: str
    version: str = "1"
    start: Path | None = None
    """The folder of the published model to begin with; None: random weights."""
    epochs: int | None = None
    overrides: tuple[str, ...] = ()
    """Of keys of the recipe, `key=value`."""
    out: Path = Path("runs")
    models: Path = Path("models")
    resume: bool = False
    replace: bool = False

    def run(self, kind: str) -> Path:
        """The run directory of a kind of model."""
        return self.out / self.name / kind

    def refuse_taken_name(self, kind: str) -> None:
        """Refuse a name that none may have, or that a model or a run of this kind has already.

        Raises:
            ConfigError: a name that none may have.
            PublishError: a model of that name is published already.
            RunError: there is such a run already, and it is not to go on.
        """
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"name {self.name!r}: small letters, digits, dot, dash and underscore are allowed"
            )
        refuse_taken(self.models / kind / self.name, replace=self.replace)
        run = self.run(kind)
        # The early look alone is what a refused request left.
        if not self.resume and run.exists() and {one.name for one in run.iterdir()} - {EXAMPLES}:
            raise RunError(f"{run} is there already: give another --name, --resume, or remove it")

    def recipe(self, own: OwnData) -> tuple[str, ...]:
        """What the request says of the recipe, for `read_config`."""
        epochs = self.epochs or round(_SEEN / len(own.of(Split.TRAIN)))
        if self.epochs is None:
            epochs = min(max(epochs, _FEWEST_EPOCHS), _MOST_EPOCHS)
        return f"name={self.name}", f'version="{self.version}"', f"epochs={epochs}"


def prepare(request: Request, kind: str) -> OwnData:
    """Refuse what cannot be, read and check the table, and say and draw what is in it.

    Raises:
        UserError: as `Request.refuse_taken_name`.
        OwnDataError: the table cannot be trained on.
    """
    request.refuse_taken_name(kind)
    run = request.run(kind)
    own = read_own(request.data, request.layout)
    for note in own.notes:
        print(f"note: {note}")
    print("\n".join(summary(own)))
    run.mkdir(parents=True, exist_ok=True)
    draw_examples(own, run / EXAMPLES)
    print(f"\nWhat it learns from: {run / EXAMPLES}", flush=True)
    return own


def source_of(own: OwnData) -> str:
    """The table, for a model's manifest: its content, no folder of this machine."""
    return (
        f"{own.csv.name}, a table of {len(own.collection.images)} images "
        f"(sha256 {sha256_of(own.csv)})"
    )


def draw_examples(own: OwnData, path: Path) -> None:
    """Some images to train on with their labels and boxes, as a PNG: an early look."""
    images = own.of(Split.TRAIN)
    chosen = images[:: max(1, len(images) // _SHOWN)][:_SHOWN]
    across = math.ceil(math.sqrt(len(chosen)))
    figure = Figure(figsize=(12, 12), layout="constrained")
    panels = figure.subplots(across, across, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for image, axes in zip(chosen, panels, strict=False):
        grey = decode_grey(image.path)
        axes.imshow(grey, cmap="gray", vmin=0, vmax=255)
        axes.set_title(", ".join(sorted(image.findings)) or "none", fontsize=8)
        scale = np.array([grey.shape[1], grey.shape[0]]) / ANNOTATION_FRAME_PX
        for box in own.boxes.get(image.path, ()):
            corner = np.array([box.x_min, box.y_min]) * scale
            size = np.array([box.x_max - box.x_min, box.y_max - box.y_min]) * scale
            axes.add_patch(Rectangle(tuple(corner), *size, fill=False, edgecolor="tab:orange"))
            axes.text(*corner, box.region.value, color="tab:orange", fontsize=7)
    figure.savefig(path, dpi=90)
