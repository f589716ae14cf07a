"""What is kept readable for the gateway alone: AES-256-GCM under keys that lie elsewhere."""

import base64
import binascii
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MIN_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_MARK = "s1."


class SealedError(ValueError):
    """Sealed by a key that is not at hand, for another owner, or changed since."""


def derived_key(secret: bytes, purpose: bytes) -> bytes:
    """A key of 32 bytes for one purpose, so that one secret may serve several."""
    return HKDF(SHA256(), length=32, salt=None, info=purpose).derive(secret)


class Cipher:
    """AES-256-GCM with a random nonce before what it encrypts; `key` has 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def encrypted(self, content: bytes, owner: bytes | None = None) -> bytes:
        """Nonce, ciphertext and tag: 28 bytes more than `content`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, owner)

    def decrypted(self, content: bytes, owner: bytes | None = None) -> bytes:
        """What `encrypted` was given with the same owner; SealedError for anything else."""
        if len(content) < _NONCE_BYTES + _TAG_BYTES:
            raise SealedError("not encrypted by a key")
        try:
            return self._cipher.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], owner)
        except InvalidTag as error:
            raise SealedError("encrypted by another key, for another owner, or changed") from error


class Keyring:
    """Seals secrets for columns of the database, each for its row; without a key it seals nothing.

    Args:
        secrets: the first one seals, each of them opens, so that a key can be changed.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        purpose = b"cxr secrets in the database"
        self._ciphers = [Cipher(derived_key(secret.encode(), purpose)) for secret in secrets]

    @property
    def is_changing(self) -> bool:
        """Whether there is a key besides the first: one is being changed."""
        return len(self._ciphers) > 1

    def sealed(self, text: str, owner: str) -> str:
        """A secret as its column holds it: 3 + 4/3 (length + 28) characters, or as it is.

        Without a key it is as it is. `owner` names the row: in another one it does not open.
        """
        if not self._ciphers:
            return text
        content = self._ciphers[0].encrypted(text.encode(), owner.encode())
        return _MARK + base64.b64encode(content).decode()

    def opened(self, kept: str, owner: str) -> str:
        """The secret of a column, sealed or readable; SealedError if no key here opens it."""
        if not kept.startswith(_MARK):
            return kept
        for cipher in self._ciphers:
            try:
                return cipher.decrypted(_bytes_of(kept), owner.encode()).decode()
            except SealedError:
                continue
        raise SealedError("sealed by a key that is not at hand")

    def is_latest(self, kept: str, owner: str) -> bool:
        """Whether there is no better way to keep it: sealed by the first key, or none is there."""
        if not self._ciphers:
            return True
        if not kept.startswith(_MARK):
            return False
        try:
            self._ciphers[0].decrypted(_bytes_of(kept), owner.encode())
        except SealedError:
            return False
        return True


def _bytes_of(kept: str) -> bytes:
    try:
        return base64.b64decode(kept.removeprefix(_MARK), validate=True)
    except binascii.Error as error:
        raise SealedError("not what was sealed") from error
