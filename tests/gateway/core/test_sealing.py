"""Secrets in the database: readable by the key alone, each in its own row, over a change of key."""

import base64

import pytest
from pydantic import SecretStr, ValidationError

from cxr_gateway.core.sealing import Keyring, SealedError
from cxr_gateway.core.settings import GatewaySettings

OLD, NEW = "o" * 32, "n" * 32
SECRET = "between the two of us"  # pragma: allowlist secret


def test_what_is_sealed_is_opened_by_the_key_and_by_the_next_one() -> None:
    kept = Keyring([OLD]).sealed(SECRET, "row")
    assert SECRET not in kept
    assert SECRET.encode() not in base64.b64decode(kept.removeprefix("s1."))
    assert Keyring([OLD]).sealed(SECRET, "row") != kept
    assert Keyring([OLD]).opened(kept, "row") == Keyring([NEW, OLD]).opened(kept, "row") == SECRET
    assert Keyring([OLD]).is_latest(kept, "row")
    assert not Keyring([NEW, OLD]).is_latest(kept, "row")


def test_it_opens_for_no_other_row_and_no_other_key_nor_when_it_was_changed() -> None:
    kept = Keyring([OLD]).sealed(SECRET, "row")
    middle = len(kept) // 2
    changed = kept[:middle] + ("A" if kept[middle] != "A" else "B") + kept[middle + 1 :]
    cases = [
        ([OLD], kept, "another row"),
        ([NEW], kept, "row"),
        ([], kept, "row"),
        ([OLD], changed, "row"),
        ([OLD], kept[:-4], "row"),
        ([OLD], "s1.", "row"),
        ([OLD], "s1.no base64", "row"),
    ]
    for keys, text, owner in cases:
        with pytest.raises(SealedError):
            Keyring(keys).opened(text, owner)


def test_without_a_key_and_from_before_a_secret_is_as_it_is() -> None:
    assert Keyring([]).sealed(SECRET, "row") == SECRET
    assert Keyring([]).is_latest(SECRET, "row")
    assert Keyring([OLD]).opened(SECRET, "row") == SECRET
    assert not Keyring([OLD]).is_latest(SECRET, "row")


def test_a_key_that_somebody_could_guess_is_no_setting() -> None:
    assert GatewaySettings(secrets_key=SecretStr(f"{NEW} {OLD}"))
    with pytest.raises(ValidationError, match="SECRETS_KEY has fewer than 32"):
        GatewaySettings(secrets_key=SecretStr(f"{NEW} short"))
