"""What a classifier said of the validation images, and the parts of them that are judged alone."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_training.classifier.samples import Samples
from cxr_training.data.splits import Split
from cxr_training.metrics.bootstrap import FloatArray

BoolArray = npt.NDArray[np.bool_]
SOURCES = ("large", "medium", "small")
SEXES = ("F", "M")
VIEWS = ("PA", "AP")
# Years, both ends in. NIH's few impossible ages (above 120) are unknown ages.
AGE_BANDS = ((0, 17), (18, 39), (40, 59), (60, 79), (80, 120))
SUBGROUP_KINDS = ("sex", "age", "view")


@dataclass(frozen=True, slots=True)
class Answers:
    """What the network said of the validation images.

    `logits` and `coarse_logits` are float64 [N, 14]; the latter are of the same images brought
    down to `coarse_px` a side first. `targets` is float64 [N, 14]. The others are as in `Samples`,
    [N] each.
    """

    logits: FloatArray
    coarse_logits: FloatArray
    coarse_px: int
    targets: FloatArray
    patients: npt.NDArray[np.str_]
    sources: npt.NDArray[np.str_]
    ages: npt.NDArray[np.int64]
    sexes: npt.NDArray[np.str_]
    views: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, slots=True)
class Subset:
    """Some of the images; `name` is empty for all. `coarse`: judged by `coarse_logits`."""

    name: str
    inside: BoolArray
    coarse: bool = False

    @property
    def is_subgroup(self) -> bool:
        """Whether it is a part of the patients or views, rather than of the files."""
        return is_subgroup(self.name)

    def label(self, label: str) -> str:
        """How a row of one label in this subset is named."""
        return f"{label}/{self.name}" if self.name else label


def is_subgroup(subset: str) -> bool:
    """Whether a row's subset is of a sex, an age band or a view, of one label or of all."""
    kind, separator, _ = subset.rpartition("/")[2].partition("=")
    return bool(separator) and kind in SUBGROUP_KINDS


def answers_of(
    samples: Samples, logits: FloatArray, coarse_logits: FloatArray, coarse_px: int
) -> Answers:
    """The answers [N, 14] on the validation images, in their order, with what is known of them."""
    rows = samples.rows(Split.VALIDATION)
    return Answers(
        logits=logits,
        coarse_logits=coarse_logits,
        coarse_px=coarse_px,
        targets=samples.targets[rows].astype(np.float64),
        patients=samples.patients[rows],
        sources=samples.sources[rows],
        ages=samples.ages[rows],
        sexes=samples.sexes[rows],
        views=samples.views[rows],
    )


def subsets(answers: Answers) -> list[Subset]:
    """All images, then each source size, all at the smallest size, each sex, age band and view.

    Those that hold no image are left out.
    """
    everything = np.ones(len(answers), dtype=bool)
    parts = [
        *(Subset(f"source={source}", answers.sources == source) for source in SOURCES),
        Subset(f"coarsened={answers.coarse_px}px", everything, coarse=True),
        *(Subset(f"sex={sex}", answers.sexes == sex) for sex in SEXES),
        *(
            Subset(f"age={_band(low, high)}", (answers.ages >= low) & (answers.ages <= high))
            for low, high in AGE_BANDS
        ),
        *(Subset(f"view={view}", answers.views == view) for view in VIEWS),
    ]
    return [Subset("", everything), *(part for part in parts if part.inside.any())]


def _band(low: int, high: int) -> str:
    return f"{low}-{high}" if high < AGE_BANDS[-1][1] else f"{low}+"
