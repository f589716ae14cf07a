"""Weights from the network, into a folder that is thrown away; an unreachable host is a sentence.

Nothing is kept but by the import that follows, so a broken download leaves nothing behind.
"""

from pathlib import Path

import httpx
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
)
from tqdm import tqdm

from cxr_training.importing import ModelImportError

_HUB = "hf-hub:"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_BY_HAND = "fetch the file where there is a network and give it with --weights"


def download(url: str, folder: Path) -> Path:
    """The file at `url`, written into `folder` under its own name.

    Raises:
        ModelImportError: the host cannot be reached, does not have it, or breaks off.
    """
    target = folder / url.rsplit("/", 1)[-1]
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
        status = error.response.status_code
        raise ModelImportError(f"{url}: status {status}; {_BY_HAND}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _unreachable(url, error) from error
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

    def fetch(file: str) -> Path | None:
        try:
            fetched = hf_hub_download(
                name, file, revision=revision or None, local_dir=folder, endpoint=endpoint
            )
        except LocalEntryNotFoundError as error:
            raise _unreachable(endpoint, error) from error
        except EntryNotFoundError:
            return None
        return Path(fetched)

    try:
        # The hub's own client tries six times over half a minute before it gives up.
        httpx.head(endpoint, timeout=_TIMEOUT)
        configuration = fetch("config.json")
        weights = next(filter(None, map(fetch, _WEIGHTS)), None) if configuration else None
    except (HfHubHTTPError, HFValidationError) as error:
        raise ModelImportError(f"the hub has no model {name}, or it is not public") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _unreachable(endpoint, error) from error
    if configuration is None or weights is None:
        raise ModelImportError(f"{name} lacks config.json, or {' and '.join(_WEIGHTS)}, on the hub")
    return configuration, weights


def _unreachable(address: str, error: Exception) -> ModelImportError:
    reason = str(error).partition("\n")[0]
    return ModelImportError(f"{httpx.URL(address).host} cannot be reached ({reason}): {_BY_HAND}")
