"""The command `explain`: what the gateway makes of a file, without a database or a service."""

import argparse
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from cxr_gateway.cli.command_runner import command
from cxr_gateway.core.errors import CommandError
from cxr_gateway.core.settings import GatewaySettings


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    explain = commands.add_parser("explain", help="what is made of a file, or why it is refused")
    explain.add_argument("file", type=Path, help="a PNG, JPEG or DICOM file")
    explain.add_argument("--json", action="store_true", help="for programs")
    explain.set_defaults(run=command(_explain))


def _explain(settings: GatewaySettings, options: argparse.Namespace) -> str:
    # The decoders are for the service and for this; other commands start without.
    from cxr_gateway.imaging.decoders import open_decoder
    from cxr_gateway.imaging.explain import explain
    from cxr_gateway.imaging.limits import Limits

    try:
        data = options.file.read_bytes()
    except OSError as error:
        raise CommandError(f"{options.file} cannot be read: {error.strerror}.") from error
    limits = Limits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_pixels)
    with closing(open_decoder(settings)) as decoder:
        told, image = explain(data, limits, decoder)
    if image is not None:
        told["ood"] = _ood(settings, image.grey)
        if told["outcome"] == "accepted" and told["ood"].get("reason"):
            told.update(outcome="rejected", reason=told["ood"]["reason"])
    # The decision stands last, where a person looks for it.
    ends: dict[str, Any] = {
        name: told.pop(name) for name in ("outcome", "status", "reason") if name in told
    }
    told |= ends
    return json.dumps(told, indent=1, ensure_ascii=False) if options.json else as_text(told)


def as_text(told: dict[str, Any]) -> str:
    """An explanation, a fact a line."""
    lines = []
    for section, value in told.items():
        if isinstance(value, dict):
            lines.append(section)
            lines += [f"  {name}: {_said(one)}" for name, one in value.items()]
        else:
            lines.append(f"{section}: {_said(value)}")
    return "\n".join(lines)


def _said(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "-" if value is None else str(value)


def _ood(settings: GatewaySettings, grey: Any) -> dict[str, Any]:
    from cxr_gateway.ood import load_ood_detector
    from cxr_serving.model_folder import ModelFolderError

    try:
        score = load_ood_detector(settings.ood_model_dir).check(grey)
    except ModelFolderError as error:
        return {"not asked": str(error)}
    return {"score": score.score, "threshold": score.threshold, "reason": score.reason}
