"""Run directories of tiny generators with random weights, as training leaves them."""

import json
import shutil
import tempfile
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from cxr_contracts import MANIFEST_NAME
from cxr_gan.folders import RUN_SPEC, RUN_WEIGHTS, GeneratorManifest, read_run
from cxr_gan.networks import build_generator
from cxr_gan.networks.spec import GeneratorSpec
from cxr_training.export.publishing import LICENCE, WEIGHTS_NAME, model_file

SIDE_PX = 16
LABELS = ("Mass", "Pneumonia")


def write_run(folder: Path, *, labels: tuple[str, ...] = LABELS, seed: int = 0) -> Path:
    """A run of a DCGAN whose images differ from each other; `folder`."""
    spec = GeneratorSpec(
        family="dcgan",
        side_px=SIDE_PX,
        latent_size=6,
        channels=4,
        most_channels=8,
        labels=labels,
    )
    torch.manual_seed(seed)
    network = build_generator(spec)
    for module in network.modules():
        # As they are initialised, every image is the same grey.
        if isinstance(module, nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.4)
    folder.mkdir(parents=True)
    save_file(network.state_dict(), folder / RUN_WEIGHTS)
    (folder / RUN_SPEC).write_text(spec.model_dump_json())
    (folder / "config.yaml").write_text(yaml.safe_dump({"family": "dcgan", "side_px": SIDE_PX}))
    facts = {
        "sessions": [{"command": f"cxr-gan train --data {folder}", "commit": "0" * 40}],
        "sources": ["drawn squares"],
        "split_sha256": "0" * 64,
        "n_train": 340,
        "n_validation": 60,
    }
    (folder / "run.json").write_text(json.dumps(facts))
    return folder


def write_published(folder: Path, *, labels: tuple[str, ...] = LABELS, seed: int = 0) -> Path:
    """The same generator as a published folder, without figures; `folder`."""
    folder.mkdir(parents=True)
    weights = folder / WEIGHTS_NAME
    with tempfile.TemporaryDirectory() as scratch:
        run = write_run(Path(scratch) / "run", labels=labels, seed=seed)
        shutil.copyfile(run / RUN_WEIGHTS, weights)
        spec = GeneratorSpec.model_validate_json((run / RUN_SPEC).read_bytes())
        data, training = read_run(run)
    manifest = GeneratorManifest(
        schema_version=1,
        role="generator",
        name=folder.name,
        version="1",
        created_at="2026-01-01T00:00:00Z",
        licence=LICENCE,
        spec=spec,
        weights=model_file(weights),
        gallery=model_file(weights),
        data=data,
        training=training,
        extractor="none",
        figures=[],
        intended_use=["Tests."],
        forbidden_use=["Everything else."],
    )
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n")
    return folder
