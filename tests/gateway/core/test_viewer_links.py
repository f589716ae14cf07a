"""Links to other viewers: what an operator may write, and what stops the start."""

import pytest

from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.core.viewer_links import viewer_links

OHIF = "OHIF=https://pacs.example/viewer?StudyInstanceUIDs={study_uid}"
WEASIS = "Weasis=weasis://%24dicom%3Ars%20-r%20%22studyUID%3D{study_uid}%22"


def test_links_are_taken_in_their_order_with_their_places() -> None:
    own = "RIS=http://ris.example:8080/open/{accession}?patient={patient_id}&a=b"
    links = viewer_links([f" {OHIF} ", WEASIS, own], "LINKS")
    assert [link.name for link in links] == ["OHIF", "Weasis", "RIS"]
    assert [link.url for link in links] == [one.partition("=")[2] for one in (OHIF, WEASIS, own)]
    assert viewer_links([], "LINKS") == []


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("https", "is not NAME=URL"),
        ("=https://pacs.example/{study_uid}", "is not NAME=URL"),
        (f"{'n' * 41}=https://pacs.example/{{study_uid}}", "at most 40 characters"),
        ("OHIF=javascript:alert('{study_uid}')", "begin with one of https:, http:, weasis:"),
        ("OHIF=data:text/html,{study_uid}", "begin with one of"),
        ("OHIF=//pacs.example/{study_uid}", "begin with one of"),
        ("OHIF=https:///viewer/{study_uid}", "names no host"),
        ("OHIF=https://{patient_id}.example/{study_uid}", "host holds a place"),
        # A name and a password of nobody.
        ("OHIF=https://me:word@pacs.example/{study_uid}", "password"),  # pragma: allowlist secret
        ("OHIF=https://pacs.example/{study}", "{study} is not one of {study_uid}, {patient_id}"),
        ("OHIF=https://pacs.example/{study_uid", "no other half"),
        ("OHIF=https://pacs.example/viewer", "names no study"),
        ("OHIF=https://pacs.example/a b/{study_uid}", "without spaces"),
        ("OHIF=https://[pacs/{study_uid}", "cannot be read"),
        (f"OHIF=https://pacs.example/{'a' * 2000}{{study_uid}}", "at most 2000"),
    ],
)
def test_what_is_no_link_is_refused_by_its_name(entry: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^LINKS") as refused:
        viewer_links([WEASIS, entry], "LINKS")
    assert reason in str(refused.value)
    name = entry.partition("=")[0]
    assert name[:40] in str(refused.value)


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two links called OHIF"):
        viewer_links([OHIF, OHIF], "LINKS")


def test_the_environment_sets_them_and_a_wrong_one_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CXR_GATEWAY_VIEWER_LINKS", f'["{OHIF}"]')
    assert [link.name for link in GatewaySettings().resolved_viewer_links] == ["OHIF"]
    monkeypatch.setenv("CXR_GATEWAY_VIEWER_LINKS", '["OHIF=https://pacs.example/"]')
    with pytest.raises(ValueError, match="CXR_GATEWAY_VIEWER_LINKS, OHIF: the URL names no study"):
        GatewaySettings()
