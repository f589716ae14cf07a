"""The generators that the arms name, checked before anything is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_contracts import MANIFEST_NAME
from cxr_gan.errors import GanError
from cxr_gan.published import GeneratorManifest, open_generator
from cxr_gan.published.folder import RUN_SPEC
from cxr_gan.published.run import read_run
from cxr_gan.published.synthesizer import GeneratorIdentity
from cxr_gan.study.plan import Arm, Plan
from cxr_serving.model_folder import manifest_in
from cxr_training.classifier.samples import LABELS


@dataclass(frozen=True, slots=True)
class Generator:
    """One that an arm may use."""

    folder: Path
    identity: GeneratorIdentity
    has_labels: bool
    split_sha256: str
    """Of the radiographs that it was trained on."""


def find_generators(plan: Plan, roots: Sequence[Path]) -> dict[str, Generator]:
    """The generator of each arm, by the name that the plan gives it.

    Args:
        plan: the arms.
        roots: folders of published models and of runs; the first that has a name is taken.

    Raises:
        GanError: one is missing, has other labels, or does not say what it was trained on.
        ModelFolderError: a published one whose files are not what its manifest says.
    """
    found: dict[str, Generator] = {}
    for name, arm in plan.arms.items():
        if arm.generator is None:
            continue
        if arm.generator not in found:
            found[arm.generator] = _opened(name, arm.generator, roots)
        _refuse_unfit(name, arm, found[arm.generator])
    return found


def refuse_other_split(generators: Mapping[str, Generator], split_sha256: str) -> None:
    """Raise GanError for a generator that may have been shown validation patients.

    Args:
        generators: by name.
        split_sha256: of the radiographs of the study.
    """
    for name, generator in generators.items():
        if generator.split_sha256 != split_sha256:
            raise GanError(
                f"the generator {name} was trained on another data set or split, and may have been "
                f"shown validation patients: run `make train-gan GAN={name}` on this one first"
            )


def _opened(arm: str, name: str, roots: Sequence[Path]) -> Generator:
    folder = next((root / name for root in roots if _holds_one(root / name)), None)
    if folder is None:
        raise GanError(
            f"arm {arm} needs the generator {name}, and there is none under "
            f"{' or '.join(str(root) for root in roots)}: run `make train-gan GAN={name}` first"
        )
    opened = open_generator(folder)
    labels = frozenset(opened.spec.labels)
    if labels and labels != frozenset(LABELS):
        differ = sorted(labels ^ frozenset(LABELS))
        raise GanError(
            f"arm {arm}: the generator {name} has other labels than the study's (they differ in "
            f"{', '.join(differ)}): run `make train-gan GAN={name}` first, with `labels: all` or "
            "`labels: []` in its recipe"
        )
    return Generator(folder, opened.identity, bool(labels), _split_of(folder))


def _holds_one(folder: Path) -> bool:
    return (folder / MANIFEST_NAME).exists() or (folder / RUN_SPEC).exists()


def _split_of(folder: Path) -> str:
    if (folder / MANIFEST_NAME).exists():
        return manifest_in(folder, GeneratorManifest).data.split_sha256
    return read_run(folder)[0].split_sha256


def _refuse_unfit(name: str, arm: Arm, generator: Generator) -> None:
    if not generator.has_labels and (arm.shuffled or arm.kind == "pretrained"):
        raise GanError(
            f"arm {name} needs a generator with labels, and {arm.generator} takes none: run "
            "`make train-gan GAN=pggan-modern` first and name that"
        )
