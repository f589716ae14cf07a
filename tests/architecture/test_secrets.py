"""The scanner's settings would find a secret, and try none out anywhere."""

import json
import secrets
from pathlib import Path

from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

BASELINE = Path(__file__).parents[2] / ".secrets.baseline"
LINES = {
    "cloud key": lambda: f'AWS_KEY = "AKIA{secrets.token_hex(8).upper()}"',
    "password in an address": lambda: f"https://user:{secrets.token_hex(8)}@example.org/",
    "password": lambda: f'password = "{secrets.token_hex(16)}"',
    "private key": lambda: "-----BEGIN " + "RSA PRIVATE KEY-----",
    "forge token": lambda: f'token: "ghp_{secrets.token_hex(18)}"',
}


def test_each_kind_of_secret_would_be_found(tmp_path: Path) -> None:
    baseline = json.loads(BASELINE.read_text())
    settings = {name: baseline[name] for name in ("plugins_used", "filters_used")}
    with transient_settings(settings):
        for name, line in LINES.items():
            path = tmp_path / f"{name}.py"
            path.write_text(f"{line()}\n")  # type: ignore[no-untyped-call]
            found = SecretsCollection()
            found.scan_file(str(path))
            assert list(found), name


def test_nothing_is_let_pass_by_the_baseline_and_nothing_is_sent_anywhere() -> None:
    baseline = json.loads(BASELINE.read_text())
    assert baseline["results"] == {}
    assert "verif" not in json.dumps(baseline["filters_used"])
