"""`cxr models import torchxrayvision|eva-x|timm|onnx|manifest`, `calibrate` and `list`."""

import argparse
import re
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_training.core.commands import later
from cxr_training.data.cli import add_layout
from cxr_training.importing import ModelImportError
from cxr_training.start import listed

if TYPE_CHECKING:
    from cxr_training.importing.networks import ForeignNetwork
    from cxr_training.importing.onnx_file import ForeignGraph

_REPLACE = "let a published model of that name give way"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
Run = Callable[[argparse.Namespace], object]


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `models` and its commands; each sets `run`, from the options to the exit status."""
    models = commands.add_parser("models", help="import weights, calibrate and list models")
    actions = models.add_subparsers(dest="action", required=True)
    _add_models(actions.add_parser("list", help="the model folders"), _list)
    calibrate = actions.add_parser(
        "calibrate",
        help="fit calibration, levels and triage to a site's own radiographs",
        description="The classifier's network stays. Calibration and evidence levels are fitted to "
        "the radiographs that a CSV manifest (docs/data.md) names for validation, and so is triage "
        "where there is a detector; what drift is measured against is made of them, too. For a "
        "model of labels of one's own it is a table as `cxr train` takes it. Nothing is changed "
        "where they do not allow it.",
    )
    calibrate.add_argument("--model", type=Path, required=True, help="a classifier's folder")
    calibrate.add_argument("--data", type=Path, required=True, help="the CSV")
    calibrate.add_argument(
        "--detector", type=Path, help="whose boxes triage sees; default: that served of --models"
    )
    calibrate.add_argument("--no-triage", action="store_true", help="leave triage to the levels")
    calibrate.add_argument("--dry-run", action="store_true", help="say what would change")
    add_layout(calibrate)
    _add_models(calibrate, later("importing.calibrate:command"))
    importing = actions.add_parser("import", help="a model folder from weights of your own")
    kinds = importing.add_subparsers(dest="kind", required=True)
    xrv = kinds.add_parser("torchxrayvision", help="its DenseNet or ResNet")
    xrv.add_argument("--weights", type=Path, help="a .pt file; without it, it is downloaded")
    xrv.add_argument("--variant", help="which release it is, e.g. densenet121-res224-all")
    _add_common(xrv, _import_release)
    eva_x = kinds.add_parser("eva-x", help="its vision transformers for ChestX-ray14")
    eva_x.add_argument("--weights", type=Path, help="a .pth file; without it, it is downloaded")
    eva_x.add_argument("--variant", help="which to download: tiny, small or base")
    _add_common(eva_x, _import_release)
    timm = kinds.add_parser("timm", help="a checkpoint of a timm network, or one on the hub")
    source = timm.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", type=Path, help=".safetensors, .pth or .pt")
    source.add_argument("--hub", metavar="hf-hub:OWNER/NAME", help="download it from the hub")
    timm.add_argument("--architecture", help="timm's name of the network, with --weights")
    _add_common(timm, _import_timm)
    onnx = kinds.add_parser("onnx", help="any ONNX file, with a table of its labels")
    onnx.add_argument("--weights", type=Path, required=True, help="the .onnx file")
    onnx.add_argument("--output", help="the output with a figure a label, if that is not clear")
    onnx.add_argument("--maps", help="the output with a map a label; without it there are no maps")
    onnx.add_argument(
        "--probabilities", action="store_true", help="it gives probabilities, not logits"
    )
    _add_common(onnx, _import_onnx)
    for network in (timm, onnx):
        network.add_argument("--size", type=int, metavar="PX", help="side of the input")
        per_channel = "after scaling to 0..1; one, or one a channel"
        network.add_argument("--mean", type=float, nargs="+", help=per_channel)
        network.add_argument("--std", type=float, nargs="+", help=per_channel)
    manifest = kinds.add_parser("manifest", help="a model folder of ours, from elsewhere")
    manifest.add_argument("--folder", type=Path, required=True, help="with its manifest.json")
    manifest.add_argument("--replace", action="store_true", help=_REPLACE)
    _add_models(manifest, _import_manifest)


def _add_common(parser: argparse.ArgumentParser, run: Run) -> None:
    parser.add_argument(
        "--labels", type=Path, help="CSV: label[,threshold,slope,intercept], a row for each output"
    )
    parser.add_argument("--name", help="of the new model; also its folder")
    parser.add_argument("--model-version", default="1", help="default: 1")
    parser.add_argument(
        "--licence", help="of the weights; needed where they do not say it themselves"
    )
    parser.add_argument("--trained-on", help="the data behind the weights, for the card")
    parser.add_argument("--sha256", help="refuse a weights file of another sha256")
    parser.add_argument("--replace", action="store_true", help=_REPLACE)
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


def _import_release(options: argparse.Namespace) -> None:
    """Of torchxrayvision or of EVA-X: a file, or a release that is downloaded."""
    variant, is_xrv = options.variant, options.kind == "torchxrayvision"
    if options.weights is None and variant is None:
        raise ModelImportError("give --weights FILE, or --variant to download a release")
    name = options.name or (variant and (variant if is_xrv else f"eva-x-{variant}"))
    _check_free(options, name)
    from cxr_training.importing.download import download
    from cxr_training.importing.sources import read_eva_x, read_xrv, release_urls

    urls = release_urls(options.kind)
    if variant is not None and variant not in urls:
        title = "torchxrayvision" if is_xrv else "EVA-X"
        raise ModelImportError(f"no variant {variant!r} of {title}: {', '.join(urls)}")
    with tempfile.TemporaryDirectory(prefix="cxr-import-") as folder:
        path, origin = options.weights, {"variant": variant}
        if path is None:
            origin["url"] = urls[variant]
            path = download(urls[variant], Path(folder))
        _check_sha256(path, options.sha256)
        labels = options.labels
        foreign = read_xrv(path, variant, labels) if is_xrv else read_eva_x(path, labels)
        _publish(options, foreign, origin, name)


def _import_onnx(options: argparse.Namespace) -> None:
    if options.labels is None:
        raise ModelImportError("--labels is needed: an ONNX file does not say what it gives")
    _check_free(options, options.name)
    from cxr_training.importing.onnx_file import read_onnx

    if options.weights.is_file():
        _check_sha256(options.weights, options.sha256)
    foreign = read_onnx(
        options.weights,
        options.labels,
        output=options.output,
        maps=options.maps,
        probabilities=options.probabilities,
        mean=options.mean,
        std=options.std,
        size_px=options.size,
    )
    _publish(options, foreign, {}, options.name)


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

    _announce(import_folder(options.folder, options.models, replace=options.replace))


def _list(options: argparse.Namespace) -> None:
    print("\n".join(listed(options.models)))


def _publish(
    options: argparse.Namespace,
    foreign: "ForeignNetwork | ForeignGraph",
    origin: dict[str, str | None],
    name: str,
) -> None:
    from cxr_training.importing.folder import Wanted, publish_foreign

    wanted = Wanted(
        name=name,
        version=options.model_version,
        models=options.models,
        replace=options.replace,
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

    target_of(options.models, "classifier", name, replace=options.replace)


def _check_sha256(path: Path, wanted: str | None) -> None:
    from cxr_training.core.runs import sha256_of

    if wanted is not None and (found := sha256_of(path)) != wanted.lower():
        raise ModelImportError(f"{path} has the sha256 {found}, not {wanted}")


def _command(options: argparse.Namespace) -> str:
    """What was typed, with files by their names alone: folders are of this machine."""
    words = ["cxr", "models", "import", options.kind]
    given = ("weights", "variant", "hub", "architecture", "output", "maps", "probabilities", "size")
    for key in (*given, "mean", "std", "labels", "name"):
        value = getattr(options, key, None)
        if value is True:
            words.append(f"--{key}")
        elif value is not None and value is not False:
            values = value if isinstance(value, list) else [value]
            shown = [one.name if isinstance(one, Path) else str(one) for one in values]
            words += [f"--{key}", *shown]
    return shlex.join(words)
