"""Reads the triage models of an installation: manifests that training wrote (`cxr triage fit`).

Each means nothing for other networks than its two, so it names them by the sha256 of their weights.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from cxr_contracts import MANIFEST_NAME, TriageManifest
from cxr_gateway.core.schemas import UsedTriage


class TriageModelError(RuntimeError):
    """A triage model cannot be used; the message is a sentence with the file."""


@dataclass(frozen=True)
class TriageModel:
    """The constants for one pair of networks.

    `sha256` is that of the manifest's file, by which a study names it.
    """

    manifest: TriageManifest
    sha256: str

    @property
    def pair(self) -> tuple[str, str]:
        """The sha256 of the classifier's and of the detector's weights."""
        return self.manifest.classifier.sha256, self.manifest.detector.sha256

    @property
    def used(self) -> UsedTriage:
        """As a study names it."""
        return UsedTriage(name=self.manifest.name, sha256=self.sha256)


def read_triage_models(folder: Path) -> list[TriageModel]:
    """Every `*/manifest.json` in `folder`; none in an empty one.

    Raises:
        TriageModelError: no such folder, a manifest that is broken, or two for the same networks.
    """
    if not folder.is_dir():
        raise TriageModelError(
            f"There is no folder of triage models at {folder.resolve()}; an empty one would mean "
            "that evidence levels decide on the priority."
        )
    found: dict[tuple[str, str], Path] = {}
    models = []
    for path in sorted(folder.glob(f"*/{MANIFEST_NAME}")):
        model = _read(path)
        if model.pair in found:
            raise TriageModelError(
                f"{path} was fitted to the same two networks as {found[model.pair]}."
            )
        found[model.pair] = path
        models.append(model)
    return models


def _read(path: Path) -> TriageModel:
    try:
        content = path.read_bytes()
        manifest = TriageManifest.model_validate_json(content)
    except OSError as error:
        raise TriageModelError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        reasons = "; ".join(
            f"{'.'.join(str(step) for step in item['loc']) or 'the file'}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise TriageModelError(f"{path} is no triage model: {reasons}.") from error
    return TriageModel(manifest, hashlib.sha256(content).hexdigest())
