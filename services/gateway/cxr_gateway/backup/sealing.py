"""A backup's MAC, and the pseudonyms' key within it, by a key that is kept outside.

Whoever can write where backups lie could otherwise put a changed one in their place: the sums in
its manifest would be of the changed content.
"""

import hmac
from hashlib import sha256
from pathlib import Path

from cxr_gateway.core.errors import CommandError
from cxr_gateway.core.sealing import MIN_KEY_BYTES, Cipher, derived_key
from cxr_gateway.core.settings import GatewaySettings

_MARK = "aes-256-gcm:"


class BackupKey:
    """The key of an installation's backups: says whether one is ours, and hides secrets in it."""

    def __init__(self, secret: bytes) -> None:
        self._mac = derived_key(secret, b"cxr backup manifest")
        self._cipher = Cipher(derived_key(secret, b"cxr backup secrets"))

    def mac(self, manifest: bytes) -> str:
        """HMAC-SHA256 of a manifest, which holds the sums of everything else; 64 hex digits."""
        return hmac.new(self._mac, manifest, sha256).hexdigest()

    def made(self, manifest: bytes, mac: str) -> bool:
        """Whether this is the manifest's MAC."""
        return hmac.compare_digest(self.mac(manifest).encode(), mac.encode())

    def hidden(self, text: str) -> str:
        """A secret as the backup holds it."""
        return _MARK + self._cipher.encrypted(text.encode()).hex()

    def shown(self, text: str) -> str:
        """The secret that `hidden` hid; ValueError for anything else."""
        if not text.startswith(_MARK):
            raise ValueError("not hidden by a key")
        return self._cipher.decrypted(bytes.fromhex(text.removeprefix(_MARK))).decode()


def backup_key(settings: GatewaySettings) -> BackupKey | None:
    """The key that the settings name; None if they name none.

    Raises:
        CommandError: it cannot be read, or is too short to be one.
    """
    path: Path | None = settings.backup_key_file
    if path is None:
        return None
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise CommandError(
            f"{path}: the backups' key cannot be read ({error.strerror})."
        ) from error
    if len(secret) < MIN_KEY_BYTES:
        raise CommandError(
            f"{path}: {len(secret)} bytes are too few for a key; `openssl rand -hex 32` makes one."
        )
    return BackupKey(secret)
