"""`cxr models import torchxrayvision|timm|manifest` and `cxr models list`."""

import argparse
import re
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_training.core.errors import PublishError
from cxr_training.core.files import sha256_of
from cxr_training.data.errors import DataError
from cxr_training.export.publishing import read_manifest
from cxr_training.importing.errors import ModelImportError
from cxr_training.importing.xrv_releases import LICENCE, RELEASES

if TYPE_CHECKING:
    from cxr_training.importing.foreign import ForeignNetwork

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
Run = Callable[[argparse.Namespace], None]


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `models` to a program's sub-commands; its `run` takes the options, gives the status."""
    models = commands.add_parser("models", help="import weights, list what is served")
    actions = models.add_subparsers(dest="models_command", required=True)
    listing = actions.add_parser("list", help="the model folders")
    _add_models(listing, _list)
    importing = actions.add_parser("import", help="a model folder from weights of your own")
    kinds = importing.add_subparsers(dest="kind", required=True)
    _add_torchxrayvision(kinds.add_parser("torchxrayvision", help="its DenseNet or ResNet"))
    _add_timm(kinds.add_parser("timm", help="a checkpoint of a timm network, or one on the hub"))
    manifest = kinds.add_parser("manifest", help="a model folder of ours, from elsewhere")
    manifest.add_argument("--folder", type=Path, required=True, help="with its manifest.json")
    _add_models(manifest, _import_manifest)
    manifest.add_argument("--force", action="store_true", help="replace a model of that name")


def _add_torchxrayvision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, help="a .pt file; without it, it is downloaded")
    parser.add_argument("--variant", choices=sorted(RELEASES), help="which release it is")
    _add_common(parser, _import_torchxrayvision)


def _add_timm(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", type=Path, help=".safetensors, .pth or .pt")
    source.add_argument("--hub", metavar="hf-hub:OWNER/NAME", help="download it from the hub")
    parser.add_argument("--architecture", help="timm's name of the network, with --weights")
    parser.add_argument("--size", type=int, metavar="PX", help="side of the input")
    for name in ("mean", "std"):
        parser.add_argument(
            f"--{name}", type=float, nargs="+", help="after scaling to 0..1; one, or one a channel"
        )
    _add_common(parser, _import_timm)


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
    parser.add_argument("--models", type=Path, default=Path("models"), help="default: models")
    parser.set_defaults(run=lambda options: _with_sentences(run, options))


def _with_sentences(run: Run, options: argparse.Namespace) -> int:
    """The exit status; 1 with a sentence on stderr for what the user can mend."""
    try:
        run(options)
    except (DataError, PublishError, OSError) as error:
        # What a library says may be of several lines.
        sys.stderr.write(f"models: {' '.join(str(error).split())}\n")
        return 1
    return 0


def _import_torchxrayvision(options: argparse.Namespace) -> None:
    if options.weights is None and options.variant is None:
        raise ModelImportError("give --weights FILE, or --variant to download a release")
    _check_place(options, options.name or options.variant)
    with tempfile.TemporaryDirectory(prefix="cxr-import-") as folder:
        path, origin = options.weights, {"kind": "torchxrayvision", "variant": options.variant}
        if path is None:
            from cxr_training.importing.download import download

            url = RELEASES[options.variant].url
            path, origin = download(url, Path(folder)), {**origin, "url": url}
        _check_sha256(path, options.sha256)
        from cxr_training.importing.xrv import read_xrv

        foreign = read_xrv(path, options.variant, options.labels)
        licence = LICENCE if foreign.data else None
        _publish(options, foreign, origin, name=options.variant, licence=licence)


def _import_timm(options: argparse.Namespace) -> None:
    if options.weights is not None and options.architecture is None:
        raise ModelImportError("--weights needs --architecture, timm's name of the network")
    hub_name = (options.hub or "").rpartition("/")[2].partition("@")[0].lower() or None
    _check_place(options, options.name or hub_name)
    from cxr_training.importing.timm_checkpoint import Description, read_description, read_timm

    with tempfile.TemporaryDirectory(prefix="cxr-import-") as folder:
        path = options.weights
        if path is None:
            from cxr_training.importing.download import download_from_hub

            configuration, path = download_from_hub(options.hub, Path(folder))
            description = read_description(configuration)
        else:
            description = Description(architecture=options.architecture)
        _check_sha256(path, options.sha256)
        foreign = read_timm(
            path,
            description,
            labels=options.labels,
            mean=options.mean,
            std=options.std,
            size_px=options.size,
        )
        licence = description.configuration.get("license")
        origin = {"kind": "timm", "hub": options.hub}
        _publish(options, foreign, origin, name=hub_name, licence=licence)


def _publish(
    options: argparse.Namespace,
    foreign: "ForeignNetwork",
    origin: dict[str, Any],
    *,
    name: str | None,
    licence: str | None,
) -> None:
    from cxr_training.importing.publish import NOT_STATED, Wanted, publish_foreign

    wanted = Wanted(
        name=_checked_name(options.name or name),
        version=options.model_version,
        models=options.models,
        force=options.force,
        command=_command(options),
        licence=options.licence or licence or NOT_STATED,
        trained_on=options.trained_on or foreign.data or NOT_STATED,
    )
    _tell(publish_foreign(foreign, wanted, {**origin, "file": foreign.path.name}))


def _import_manifest(options: argparse.Namespace) -> None:
    from cxr_training.importing.folder import import_folder

    _tell(import_folder(options.folder, options.models, force=options.force))


def _list(options: argparse.Namespace) -> None:
    for path in sorted(options.models.glob("*/*/manifest.json")):
        try:
            manifest = read_manifest(path.parent)
        except ValueError as error:
            raise ModelImportError(f"{path} is not a valid manifest: {error}") from error
        print(f"{manifest.role:12}{manifest.name} {manifest.version}  {path.parent}")


def _tell(folder: Path) -> None:
    role = folder.parent.name
    print(folder)
    print(f"Serve it with CXR_{role.upper()}_MODEL_DIR={folder}")


def _check_place(options: argparse.Namespace, name: str | None) -> None:
    # Before a download, not after it.
    target = options.models / "classifier" / _checked_name(name)
    if target.exists() and not options.force:
        raise ModelImportError(f"{target} is there already: give another --name, or --force")


def _checked_name(name: str | None) -> str:
    if name is None:
        raise ModelImportError("give the new model a --name")
    if not _NAME.fullmatch(name):
        raise ModelImportError(f"name {name!r}: small letters, digits, dot, dash and underscore")
    return name


def _check_sha256(path: Path, wanted: str | None) -> None:
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
