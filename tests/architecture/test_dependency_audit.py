"""Secrets in the tree, and what becomes of an advisory source's answer."""

import json
import secrets
from pathlib import Path

import pytest

from deploy import dependency_audit, secret_scan
from deploy.dependency_audit import complaints, of_npm, of_pip_audit


def test_no_secret_is_tracked() -> None:
    assert secret_scan.complaints() == []


def test_each_that_is_none_says_why() -> None:
    assert all(len(reason) > 10 for reason in secret_scan.known().values())


@pytest.mark.parametrize(
    "line",
    [
        lambda: f'AWS_KEY = "AKIA{secrets.token_hex(8).upper()}"',
        lambda: f"https://user:{secrets.token_hex(8)}@example.org/",
        lambda: f'password = "{secrets.token_urlsafe(24)}"',
        lambda: "-----BEGIN " + "RSA PRIVATE KEY-----",
        lambda: f'token: "ghp_{secrets.token_hex(18)}"',
    ],
    ids=["cloud key", "password in an address", "password", "private key", "forge token"],
)
def test_a_secret_would_be_found(line: object, tmp_path: Path) -> None:
    assert callable(line)
    (tmp_path / "settings.py").write_text(f"{line()}\n")
    assert secret_scan.scan(tmp_path, ["settings.py"]) != {}


def test_nothing_that_is_found_is_tried_out_anywhere() -> None:
    assert "verif" not in json.dumps(secret_scan.SETTINGS)


def package(name: str, *advisories: str) -> dict[str, object]:
    vulns = [{"id": advisory, "fix_versions": ["2.0"]} for advisory in advisories]
    return {"name": name, "version": "1.0", "vulns": vulns}


def test_an_advisory_is_told_with_its_package_and_what_fixes_it() -> None:
    report = {"dependencies": [package("good"), package("bad", "PYSEC-1")]}
    audit = of_pip_audit("serving.txt", report)
    assert (audit.judged, audit.answered) == (2, True)
    assert complaints([audit], {}) == ["serving.txt: bad 1.0: PYSEC-1, fixed in 2.0"]


def test_a_known_advisory_is_let_pass_until_it_concerns_nothing() -> None:
    known = {"PYSEC-1": "Only where a proxy is used."}
    concerned = of_pip_audit("serving.txt", {"dependencies": [package("bad", "PYSEC-1")]})
    assert complaints([concerned], known) == []
    fixed = of_pip_audit("serving.txt", {"dependencies": [package("bad")]})
    [line] = complaints([fixed], known)
    assert "PYSEC-1, which concerns no package any more" in line


def test_a_source_that_knows_no_package_is_no_source_and_nothing_follows_from_it() -> None:
    skipped = {"name": "good", "version": "1.0", "skip_reason": "not found"}
    audit = of_pip_audit("serving.txt", {"dependencies": [skipped]})
    assert not audit.answered
    assert complaints([audit], {"PYSEC-1": "A reason."}) == []


def test_advisories_of_the_page_are_read_from_npms_report() -> None:
    via = {"url": "https://example.org/GHSA-1", "range": "<2"}
    report = {
        "vulnerabilities": {
            "bad": {"name": "bad", "via": [via]},
            "uses-bad": {"name": "uses-bad", "via": ["bad"]},
        },
        "metadata": {"dependencies": {"prod": 7}},
    }
    audit = of_npm("the page", report)
    assert audit.judged == 7
    assert complaints([audit], {}) == ["the page: bad <2: GHSA-1"]
    assert not of_npm("the page", {"message": "405"}).answered


def test_every_advisory_that_is_let_pass_has_a_reason() -> None:
    for entry in json.loads(dependency_audit.KNOWN.read_text()):
        assert entry.keys() == {"id", "reason"}
