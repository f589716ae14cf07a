"""`cxr models import torchxrayvision|timm|manifest` and `cxr models list`."""

import argparse
import re
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_training.importing import ModelImportError

if TYPE_CHECKING:
    from cxr_training.importing.networks import ForeignNetwork

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
Run = Callable[[argparse.Namespace], None]


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `models` and its commands; each sets `run`, from the options to the exit status."""
    models = commands.add_parser("models", help="import weights, list what is served")
    actions = models.add_subparsers(dest="action", required=True)
    _add_models(actions.add_parser("list", help="the model folders"), _list)
    importing = actions.add_parser("import", help="a model folder from weights of your own")
    kinds = importing.add_subparsers(dest="kind", required=True)
    xrv = kinds.add_parser("torchxrayvision", help="its DenseNet or ResNet")
    xrv.add_argument("--weights", type=Path, help="a .pt file; without it, it is downloaded")
    xrv.add_argument("--variant", help="which release it is, e.g. densenet121-res224-all")
    _add_common(xrv, _import_torchxrayvision)
    timm = kinds.add_parser("timm", help="a checkpoint of a timm network, or one on the hub")
    source = timm.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", type=Path, help=".safetensors, .pth or .pt")
    source.add_argument("--hub", metavar="hf-hub:OWNER/NAME", help="download it from the hub")
    timm.add_argument("--architecture", help="timm's name of the network, with --weights")
    timm.add_argument("--size", type=int, metavar="PX", help="side of the input")
    per_channel = "after scaling to 0..1; one, or one a channel"
    timm.add_argument("--mean", type=float, nargs="+", help=per_channel)
    timm.add_argument("--std", type=float, nargs="+", help=per_channel)
    _add_common(timm, _import_timm)
    manifest = kinds.add_parser("manifest", help="a model folder of ours, from elsewhere")
    manifest.add_argument("--folder", type=Path, required=True, help="with its manifest.json")
    manifest.add_argument("--force", action="store_true", help="replace a model of that name")
    _add_models(manifest, _import_manifest)


def _add_common(parser: argparse.ArgumentParser, run: Run) -> None:
    parser.add_argument(
        "--labels", type=Path, help="CSV: label[,threshold,slope,intercept], a row for each output"
    )
    parser.add_argument("--name", help="of the new model; also its folder")
    parser.add_argument("--model-version", default="1", help="default: 1")
    parser.add_argument("--licence", help="of the weights, for the manifest and the card")
    parser.add_argument("--trained-on", help="the data behind the weights, for the card")
    parser.add_argument("--sha256", help="refuse a weights file of another sha256")
    parser.add_argument("--force", action="store_true", help="replace a model of that name")
    _add_models(parser, run)


def _add_models(parser: argparse.ArgumentParser, run: Run) -> None:
    def status(options: argparse.Namespace) -> int:
        try:
            run(options)
        except OSError as error:
            raise ModelImportError(str(error)) from error
        return 0

    parser.add_argument("--models", type=Path, default=Path("models"), help="default: models")
    parser.set_defaults(run=status)


# PyTorch takes seconds to import; `--help` should not wait for it.


def _import_torchxrayvision(options: argparse.Namespace) -> None:
    if options.weights is None and options.variant is None:
        raise ModelImportError("give --weights FILE, or --variant to download a release")
    _check_free(options, options.name or options.variant)
    from cxr_training.importing.download import download
    from cxr_training.importing.sources import read_xrv, xrv_releases

    if options.variant is not None and options.variant not in xrv_releases():
        known = ", ".join(xrv_releases())
        raise ModelImportError(f"no variant {options.variant!r} of torchxrayvision: {known}")
    with tempfile.TemporaryDirectory(prefix="cxr-import-") as folder:
        path, origin = options.weights, {"variant": options.variant}
        if path is None:
            origin["url"] = xrv_releases()[options.variant].url
            path = download(origin["url"], Path(folder))
        _check_sha256(path, options.sha256)
        foreign = read_xrv(path, options.variant, options.labels)
        _publish(options, foreign, origin, options.name or options.variant)


def _import_timm(options: argparse.Namespace) -> None:
    if options.weights is not None and options.architecture is None:
        raise ModelImportError("--weights needs --architecture, timm's name of the network")
    name = options.name or (options.hub or "").rpartition("/")[2].partition("@")[0].lower()
    _check_free(options, name)
    from cxr_training.importing.download import download_from_hub
    from cxr_training.importing.sources import Description, read_description, read_timm

    with tempfile.TemporaryDirectory(prefix="cxr-import-") as folder:
        if options.hub:
            configuration, path = download_from_hub(options.hub, Path(folder))
            description = read_description(configuration)
        else:
            path, description = options.weights, Description(options.architecture)
        _check_sha256(path, options.sha256)
        foreign = read_timm(
            path,
            description,
            labels=options.labels,
            mean=options.mean,
            std=options.std,
            size_px=options.size,
        )
        _publish(options, foreign, {"hub": options.hub}, name)


def _import_manifest(options: argparse.Namespace) -> None:
    from cxr_training.importing.folder import import_folder

    _announce(import_folder(options.folder, options.models, force=options.force))


def _list(options: argparse.Namespace) -> None:
    from cxr_training.export.publishing import read_manifest

    for path in sorted(options.models.glob("*/*/manifest.json")):
        try:
            manifest = read_manifest(path.parent)
        except ValueError as error:
            raise ModelImportError(f"{path} is not a valid manifest: {error}") from error
        print(f"{manifest.role:12}{manifest.name} {manifest.version}  {path.parent}")


def _publish(
    options: argparse.Namespace,
    foreign: "ForeignNetwork",
    origin: dict[str, str | None],
    name: str,
) -> None:
    from cxr_training.importing.folder import Wanted, publish_foreign

    wanted = Wanted(
        name=name,
        version=options.model_version,
        models=options.models,
        force=options.force,
        command=_command(options),
        licence=options.licence,
        trained_on=options.trained_on,
    )
    _announce(publish_foreign(foreign, wanted, {"kind": options.kind, **origin}))


def _announce(folder: Path) -> None:
    role = folder.parent.name
    variable = "CXR_GATEWAY_OOD_MODEL_DIR" if role == "ood" else f"CXR_{role.upper()}_MODEL_DIR"
    print(f"{folder}\nServe it with {variable}={folder}")


def _check_free(options: argparse.Namespace, name: str | None) -> None:
    # Before a download, not after it.
    if not name:
        raise ModelImportError("give the new model a --name")
    if not _NAME.fullmatch(name):
        raise ModelImportError(f"name {name!r}: small letters, digits, dot, dash and underscore")
    from cxr_training.importing.folder import target_of

    target_of(options.models, "classifier", name, force=options.force)


def _check_sha256(path: Path, wanted: str | None) -> None:
    from cxr_training.core.files import sha256_of

    if wanted is not None and (found := sha256_of(path)) != wanted.lower():
        raise ModelImportError(f"{path} has the sha256 {found}, not {wanted}")


def _command(options: argparse.Namespace) -> str:
    """What was typed, with files by their names alone: folders are of this machine."""
    words = ["cxr", "models", "import", options.kind]
    given = ("weights", "variant", "hub", "architecture", "size", "mean", "std", "labels", "name")
    for key in given:
        value = getattr(options, key, None)
        if value is not None:
            values = value if isinstance(value, list) else [value]
            shown = [one.name if isinstance(one, Path) else str(one) for one in values]
            words += [f"--{key}", *shown]
    return shlex.join(words)
