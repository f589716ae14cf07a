"""`card.md` of a training: what it was shown beside the real images, and whence the labels."""

from pathlib import Path

from cxr_gan.study.generators import Generator
from cxr_gan.study.plan import BALANCE, Arm
from cxr_gan.study.rare import RareLabels
from cxr_gan.study.synthetic import Wanted
from cxr_training.core.files import sha256_of

_TEACHER = (
    "This generator takes no labels, so theirs are guesses. A teacher, the study's own classifier "
    "of the same seed, trained on the real training images alone, reads {pool:,} samples, of which "
    "{taken:,} are taken: for each rare label the ones that it holds most likely to show it. They "
    "are given that label, and of the other labels those that it ranks as high as they are "
    "frequent among training radiographs. Nobody has checked one of them."
)
_ASKED = (
    "Each image was asked for with the findings of the real image that oversampling repeats in "
    "its place."
)
_DRAWN = (
    "Asked for with findings as frequent as on the training radiographs once their rare labels are "
    "balanced."
)
_SHUFFLED = " The manifest then gives each image another's findings: the labels tell nothing."


def write_card(
    folder: Path, wanted: Wanted, generator: Generator | None, manifest: Path | None
) -> None:
    """Write the card into the training's folder."""
    arm, rare = wanted.arm, wanted.rare
    lines = [f"# {arm.says}, seed {wanted.seed}", f"Kind: {arm.kind}."]
    if arm.kind in ("oversampled", "synthetic"):
        totals = rare.totals(arm.share or BALANCE)
        lines.append(
            "Images of each rare label, with the real ones: "
            + ", ".join(f"{x} {totals[x]} ({rare.training[x]} real)" for x in rare.labels)
            + "."
        )
    if generator is not None and manifest is not None:
        identity = generator.identity
        lines += [
            f"Generator: {identity.name}, version {identity.version}, sha256 {identity.sha256}.",
            labels_in_words(wanted, generator),
            f"Manifest: {manifest.name}, sha256 {sha256_of(manifest)}.",
            "The images only train: none is validated on. They show no person.",
        ]
    (folder / "card.md").write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def teacher_in_words(arm: Arm, rare: RareLabels, pool: int) -> str:
    """Whence the labels of a generator without labels are."""
    return _TEACHER.format(pool=pool, taken=rare.added(arm.share or BALANCE))


def labels_in_words(wanted: Wanted, generator: Generator) -> str:
    """Whence the labels of the images."""
    if not generator.has_labels:
        return teacher_in_words(wanted.arm, wanted.rare, wanted.pool)
    if wanted.arm.kind == "pretrained":
        return _DRAWN
    return _ASKED + (_SHUFFLED if wanted.arm.shuffled else "")
