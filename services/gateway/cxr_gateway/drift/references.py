"""The references that are installed: one for each pair of OOD detector and classifier."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from cxr_contracts import REFERENCE_NAME, DriftReference, ModelIdentity

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class References:
    """What could be read, and a sentence for each file that could not."""

    installed: Sequence[DriftReference]
    broken: Sequence[str]

    def of(self, ood_sha256: str, classifier_sha256: str) -> DriftReference | None:
        """The reference that was made with these two networks, and with no others."""
        pair = ood_sha256, classifier_sha256
        return next((one for one in self.installed if one.models == pair), None)

    def why_none(self, classifier: ModelIdentity | None) -> str:
        """Why there is none for the models that answer, a sentence."""
        if classifier is None:
            return "The classifier does not answer, so it is not known which reference holds."
        named = f"{classifier.name} {classifier.version}"
        others = ", ".join(
            f"{one.classifier.name} {one.classifier.version}" for one in self.installed
        )
        made = f" Those installed were made with {others}." if others else ""
        broken = "".join(f" {sentence}" for sentence in self.broken)
        return f"There is no reference for this OOD detector and {named}.{made}{broken}"


def load_references(folder: Path) -> References:
    """Every `*/reference.json` in `folder`; a broken one is logged and told, and stops nothing."""
    installed, broken = [], []
    for path in sorted(folder.glob(f"*/{REFERENCE_NAME}")):
        try:
            installed.append(DriftReference.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError) as error:
            _LOG.error("a reference of drift cannot be used", extra={"detail": _first(error)})
            broken.append(f"{path.parent.name} cannot be used: {_first(error)}.")
    return References(installed, broken)


def _first(error: OSError | ValidationError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(step) for step in found["loc"]) or "the file"
    return f"{where}: {found['msg']}"
