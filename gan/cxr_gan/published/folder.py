"""Opening a published generator's folder, or a run directory that is not published yet."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from cxr_contracts import MANIFEST_NAME
from cxr_gan.errors import GanError
from cxr_gan.networks import build_generator
from cxr_gan.published.manifest import GeneratorManifest
from cxr_gan.published.run import read_recipe
from cxr_gan.published.synthesizer import GeneratorIdentity, ShownRadiographs, Synthesizer
from cxr_gan.spec import GeneratorSpec
from cxr_serving.model_folder import checked_bytes, manifest_in

RUN_WEIGHTS, RUN_SPEC = "generator.safetensors", "spec.json"
UNPUBLISHED = "unpublished"


@dataclass(frozen=True, slots=True)
class _Stored:
    identity: GeneratorIdentity
    spec: GeneratorSpec
    weights: bytes
    recipe: dict[str, Any]


def open_generator(folder: Path, device: str = "cpu") -> Synthesizer:
    """The generator in `folder`: a published one, checked first, or a run's latest.

    Raises:
        ModelFolderError: a published folder whose files are not what its manifest says.
        GanError: no generator there, or weights that do not fill it.
    """
    stored = _published(folder) if (folder / MANIFEST_NAME).exists() else _of_run(folder)
    place = torch.device(device)
    network = _filled(stored, folder).to(place)
    shown = _shown(stored.recipe, folder)
    return Synthesizer(stored.identity, stored.spec, network, place, shown)


def read_run_spec(run: Path) -> GeneratorSpec:
    """The specification of a run directory; GanError if there is none or it is broken."""
    path = run / RUN_SPEC
    try:
        return GeneratorSpec.model_validate_json(path.read_bytes())
    except OSError as error:
        raise GanError(
            f"{run} holds no generator: neither {MANIFEST_NAME} nor {RUN_SPEC}"
        ) from error
    except ValidationError as error:
        said = error.errors(include_url=False)[0]
        raise GanError(f"{path}: {'.'.join(map(str, said['loc']))}: {said['msg']}") from error


def _published(folder: Path) -> _Stored:
    manifest = manifest_in(folder, GeneratorManifest)
    weights = checked_bytes(folder, manifest.weights)
    identity = GeneratorIdentity(manifest.name, manifest.version, manifest.weights.sha256)
    return _Stored(identity, manifest.spec, weights, manifest.training.recipe)


def _of_run(run: Path) -> _Stored:
    spec = read_run_spec(run)
    path = run / RUN_WEIGHTS
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise GanError(f"{path} cannot be read: {error.strerror}: has the run begun?") from error
    sha256 = hashlib.sha256(weights).hexdigest()
    identity = GeneratorIdentity(run.resolve().name, UNPUBLISHED, sha256)
    return _Stored(identity, spec, weights, read_recipe(run))


def _shown(recipe: dict[str, Any], folder: Path) -> ShownRadiographs:
    try:
        return ShownRadiographs.model_validate(recipe.get("image", {}))
    except ValidationError as error:
        said = error.errors(include_url=False)[0]
        where = ".".join(map(str, said["loc"]))
        raise GanError(f"the recipe in {folder}: image.{where}: {said['msg']}") from error


def _filled(stored: _Stored, folder: Path) -> nn.Module:
    try:
        network = build_generator(stored.spec)
        network.load_state_dict(load(stored.weights), strict=True)
    except (ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise GanError(f"the weights in {folder} do not fill its network: {reason}") from error
    return network.eval().requires_grad_(False)
