"""Writes a run into a model folder: weights, ONNX from the same weights, manifest, card."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import onnxruntime
import torch
from safetensors.torch import save_file

from cxr_contracts import (
    Architecture,
    DataSpec,
    InputSpec,
    LabelSpec,
    MetricRow,
    ModelManifest,
    TrainingSpec,
)
from cxr_training.core.runs import portable_command, utc_now
from cxr_training.export.onnx import export_onnx
from cxr_training.export.publishing import (
    LICENCE,
    ONNX_NAME,
    WEIGHTS_NAME,
    check_same_answers,
    model_file,
    read_manifest,
    refuse_taken,
    write_manifest,
)
from cxr_training.ood.evaluation import draw_results, measure, metric_rows, write_table
from cxr_training.ood.network import KIND_REASONS, KINDS, OodConfig, OodNetwork
from cxr_training.ood.training import RunSummary, read_run
from cxr_training.report.card import (
    SPLITS,
    Headline,
    facts_table,
    format_share,
    headline_table,
    model_card,
)
from cxr_training.report.tables import differing_figures, of_split

# Another processor may round an image's resizing otherwise.
_TOLERANCE = 2e-3
_RULES = {"min_side_px": 32, "max_aspect_ratio": 2.5, "min_contrast": 0.004}
_WHAT = """\
Decides whether an image is an upright, whole, frontal chest radiograph (PA or AP, bone bright)
before any model reads it. Everything else is out of distribution and refused, with a score and a
reason; nothing is diagnosed on it."""
_FAILS = (
    "Lateral chest radiographs, abdomen, spine and bones other than one lower leg were neither "
    "available to train on nor to evaluate on.",
    "Real out-of-distribution images are few: each kind (CT, MR, ultrasound, a leg) was kept for "
    "evaluation and never trained on, but is only a handful of files.",
    "Evaluated on one hospital's patients, nearly all of them adults; small children are rare.",
    "A mirrored radiograph is accepted: a heart on the right is an anatomy, too. So is a "
    "photograph or screenshot that a radiograph fills.",
)
_EVERY_FIGURE = (
    "In the manifest, by kind of image, and in the project's `docs/results/ood` with plots. "
    "Intervals are 95%, by resampling patients and files."
)
_HEADLINES = (
    Headline("radiographs refused by mistake", "false_refusal_rate", "as published", percent=True),
    Headline("other medical images refused", "refused_share", "real medical: all", percent=True),
    Headline("photographs refused", "refused_share", "real photograph: all", percent=True),
    Headline(
        "corrupted radiographs refused", "refused_share", "corrupted radiograph: all", percent=True
    ),
    Headline("AUROC, other medical images", "auroc", "real medical: all"),
    Headline("AUROC, photographs", "auroc", "real photograph: all"),
    Headline("AUROC, corrupted radiographs", "auroc", "corrupted radiograph: all"),
)


def publish_command(options: Namespace) -> int:
    """`cxr ood publish`."""
    summary, network = read_run(options.folder)
    manifest = publish(
        summary, network, options.out, version=options.version, replace=options.replace
    )
    print(f"{manifest.name} {manifest.version}: {options.out}")
    return 0


def evaluate(options: Namespace) -> int:
    """`cxr ood evaluate`."""
    split, out = options.split, options.out
    measured = measure(options.model, options.data, split, options.synthetic_per_kind)
    out.mkdir(parents=True, exist_ok=True)
    write_table(measured.rows, out / f"ood-{split}.csv")
    draw_results(measured, out / f"ood-{split}.png")
    metrics, n_images = metric_rows(measured.rows, split), measured.n_radiographs
    manifest = add_metrics(options.model, metrics, split=split, n_images=n_images)
    (out / "README.md").write_text(results_page(manifest))
    print(f"{len(measured.outcomes)} images evaluated: {out}")
    return 0


def verify(options: Namespace) -> int:
    """`cxr ood verify`."""
    measured = measure(options.model, options.data, options.split, options.synthetic_per_kind)
    published = of_split(read_manifest(options.model).metrics, options.split)
    again = metric_rows(measured.rows, options.split)
    differing = differing_figures(published, again, _TOLERANCE)
    for sentence in differing:
        print(sentence)
    print(f"{options.model}: {len(published)} figures published, {len(differing)} differ")
    return 1 if differing else 0


def publish(
    summary: RunSummary, network: OodNetwork, folder: Path, *, version: str, replace: bool
) -> ModelManifest:
    """Write the model folder of a finished run, without metrics yet (`add_metrics`).

    Raises:
        PublishError: a model is there, without `replace`; ONNX Runtime and PyTorch differ by more
            than 1e-3 in the logit.
    """
    refuse_taken(folder, replace=replace)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), folder / WEIGHTS_NAME)
    side_px = summary.config.canonical_px
    example = torch.rand(2, 1, side_px, side_px)
    outputs = ["chest_logit", "kind_probabilities"]
    export_onnx(network, example, folder / ONNX_NAME, output_names=outputs)
    manifest = _manifest(summary, folder, version)
    _write(manifest, folder)
    images = torch.rand(5, 1, side_px, side_px, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(images)[0].numpy()
    session = onnxruntime.InferenceSession(folder / ONNX_NAME, providers=["CPUExecutionProvider"])
    (found,) = session.run(["chest_logit"], {"image": images.numpy()})
    check_same_answers(str(folder), expected, found)
    return manifest


def add_metrics(
    folder: Path, metrics: Sequence[MetricRow], *, split: str, n_images: int
) -> ModelManifest:
    """Put the figures of a split into a published manifest and write its card anew."""
    manifest = read_manifest(folder)
    others = [row for row in manifest.metrics if row.split != split]
    changes: dict[str, object] = {"metrics": [*others, *metrics]}
    if split == "validation":
        changes["data"] = manifest.data.model_copy(update={"n_validation": n_images})
    manifest = manifest.model_copy(update=changes)
    _write(manifest, folder)
    return manifest


def results_page(manifest: ModelManifest) -> str:
    """docs/results/ood/README.md: the headlines, the plots, and where every figure stands."""
    parts = [
        f"# What {manifest.name} {manifest.version} refuses",
        "Measured by `make evaluate-ood`; intervals by resampling patients and files.",
        headline_table(manifest.metrics, _HEADLINES),
    ]
    for split in SPLITS:
        if any(row.split == split for row in manifest.metrics):
            parts += [
                f"## {split.capitalize()} patients",
                f"[ood-{split}.csv](ood-{split}.csv) holds every figure.",
                f"![share refused by kind, and scores](ood-{split}.png)",
            ]
    return "\n\n".join(parts) + "\n"


def _manifest(summary: RunSummary, folder: Path, version: str) -> ModelManifest:
    config = summary.config
    side_px = config.canonical_px
    sources = [
        "NIH ChestX-ray14",
        "synthetic images",
        "photographs of skimage, sklearn, ultralytics",
    ]
    return ModelManifest(
        schema_version=1,
        role="ood",
        name="ood-cxr",
        version=version,
        created_at=utc_now(),
        licence=LICENCE,
        architecture=_architecture(config),
        # The network standardises each image by itself.
        input=InputSpec(
            width_px=side_px, height_px=side_px, channels=1, canonical_px=side_px, mean=0.0, std=1.0
        ),
        # Shifted so that the operating point reads as one half; the slope is the network's own.
        labels=[
            LabelSpec(
                name="frontal_chest_radiograph",
                threshold=0.5,
                threshold_rule=f"refuses {config.target_false_refusal:.1%} of "
                f"{summary.n_calibration} radiographs of training patients kept out of the fit",
                slope=1.0,
                intercept=-summary.threshold_logit,
            )
        ],
        weights=model_file(folder / WEIGHTS_NAME),
        onnx=model_file(folder / ONNX_NAME),
        extra={"kinds": list(KINDS), "kind_reasons": KIND_REASONS, "rules": _RULES},
        data=DataSpec(
            sources=sources,
            split_sha256=summary.split_sha256,
            n_train=summary.n_fit + summary.n_calibration,
            n_validation=0,
        ),
        training=TrainingSpec(
            command=portable_command(summary.command),
            commit=summary.commit,
            recipe=config.model_dump(mode="json"),
        ),
        metrics=[],
    )


def _architecture(config: OodConfig) -> Architecture:
    arguments = {
        "side_px": config.canonical_px,
        "channels": list(config.channels),
        "features": config.features,
        "n_kinds": len(KINDS),
    }
    return Architecture(library="cxr", name="ood-network", arguments=arguments)


def _write(manifest: ModelManifest, folder: Path) -> None:
    card = model_card(
        manifest,
        what=_WHAT,
        headlines=_HEADLINES,
        fails=[*_most_missed(manifest), *_FAILS],
        sections={"Details": _details(manifest), "Every figure": _EVERY_FIGURE},
    )
    write_manifest(manifest, folder, card)


def _most_missed(manifest: ModelManifest) -> list[str]:
    """The kinds of which the smallest shares are refused, on the patients that stand first."""
    for split in SPLITS:
        rows = [
            row for row in manifest.metrics if (row.name, row.split) == ("refused_share", split)
        ]
        worst = sorted(rows, key=lambda row: row.result.value)[:4]
        if worst:
            named = "; ".join(f"{row.subset}, {format_share(row.result)} refused" for row in worst)
            return [f"Most often missed ({split} patients): {named}."]
    return []


def _details(manifest: ModelManifest) -> str:
    label, recipe, side_px = manifest.labels[0], manifest.training.recipe, manifest.input.width_px
    facts = {
        "Input": f"grey, stretched to {side_px} x {side_px} px, standardised image by image",
        "Kinds told apart": ", ".join(manifest.extra["kinds"]),
        "Accepted from": f"score {label.threshold:.2f}; {label.threshold_rule}",
        "Size": f"{manifest.onnx.bytes / 1e6:.2f} MB (ONNX)",
        "Trained on": f"{manifest.data.n_train} radiographs ({'; '.join(manifest.data.sources)}), "
        f"{recipe['steps']} steps of {recipe['batch']} images",
        "Made by": f"`{manifest.training.command}` at {manifest.training.commit[:12]}",
        "Licence": manifest.licence,
    }
    return facts_table(facts)
