"""Weights from the network, into a folder that is thrown away; an unreachable host is a sentence.

Nothing is kept but by the import that follows, so a broken download leaves nothing behind.
"""

from dataclasses import dataclass
from pathlib import Path

import httpx
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm import tqdm

from cxr_training.importing.errors import ModelImportError

_HUB = "hf-hub:"
_CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_BY_HAND = "fetch the file where there is a network and give it with --weights"


def download(url: str, folder: Path) -> Path:
    """The file at `url`, written into `folder` under its own name.

    Raises:
        ModelImportError: the host cannot be reached, does not have it, or breaks off.
    """
    target = folder / url.rsplit("/", 1)[-1]
    host = httpx.URL(url).host
    try:
        with httpx.stream("GET", url, timeout=_TIMEOUT, follow_redirects=True) as response:
            response.raise_for_status()
            size = int(response.headers.get("content-length", 0)) or None
            with (
                target.open("wb") as stream,
                tqdm(total=size, unit="B", unit_scale=True, desc=target.name, leave=False) as bar,
            ):
                for chunk in response.iter_bytes(2**20):
                    stream.write(chunk)
                    bar.update(len(chunk))
    except httpx.HTTPStatusError as error:
        raise ModelImportError(
            f"{host} answered {error.response.status_code} for {url}: {_BY_HAND}"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ModelImportError(f"{host} cannot be reached ({error}): {_BY_HAND}") from error
    return target


def download_from_hub(
    model: str, folder: Path, endpoint: str = constants.ENDPOINT
) -> tuple[Path, Path]:
    """The configuration and the weights of a timm model on the hub, in `folder`.

    Args:
        model: `hf-hub:owner/name`, or with `@revision`.
        folder: where they go; the hub's own cache is left alone.
        endpoint: address of the hub; `HF_ENDPOINT` names another, as everywhere.

    Raises:
        ModelImportError: not a name of the hub, no such model, or the hub cannot be reached.
    """
    name, _, revision = model.removeprefix(_HUB).partition("@")
    if not model.startswith(_HUB) or name.count("/") != 1:
        raise ModelImportError(f"{model!r} is not of the form {_HUB}owner/name")
    _check_reachable(endpoint)
    hub = _Hub(endpoint, name, revision or None)
    configuration = _fetch(hub, _CONFIG, folder)
    if configuration is None:
        raise ModelImportError(f"{name} has no {_CONFIG} on the hub, so it is no model of timm's")
    for file in _WEIGHTS:
        weights = _fetch(hub, file, folder)
        if weights is not None:
            return configuration, weights
    raise ModelImportError(f"{name} has neither {' nor '.join(_WEIGHTS)} on the hub")


@dataclass(frozen=True, slots=True)
class _Hub:
    endpoint: str
    model: str
    revision: str | None


def _check_reachable(endpoint: str) -> None:
    # The hub's own client tries six times over half a minute before it gives up.
    try:
        httpx.head(endpoint, timeout=_TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ModelImportError(
            f"{httpx.URL(endpoint).host} cannot be reached ({error}): {_BY_HAND}"
        ) from error


def _fetch(hub: _Hub, file: str, folder: Path) -> Path | None:
    try:
        return Path(
            hf_hub_download(
                hub.model, file, revision=hub.revision, local_dir=folder, endpoint=hub.endpoint
            )
        )
    except LocalEntryNotFoundError as error:
        raise ModelImportError(f"{hub.endpoint} cannot be reached: {_BY_HAND}") from error
    except EntryNotFoundError:
        return None
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise ModelImportError(f"the hub has no model {hub.model}, or it is not public") from error
    except (httpx.HTTPError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelImportError(f"{hub.model} cannot be fetched ({reason}): {_BY_HAND}") from error
