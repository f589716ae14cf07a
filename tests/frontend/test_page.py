"""The page's own unit tests, and its types against the committed OpenAPI document."""

import pytest

from benchmarks.page_report import MAX_FIRST_VIEW_JS_BYTES, first_view_scripts
from support.page_scripts import FRONTEND, npm


@pytest.mark.slow
def test_the_pages_own_unit_tests_pass() -> None:
    npm("test")


def test_the_pages_types_are_those_of_the_committed_openapi_document() -> None:
    npm("check:generated")


def test_the_first_view_needs_no_more_script_than_it_may() -> None:
    scripts = first_view_scripts(FRONTEND / "dist")
    assert len(scripts) >= 3, "the build is other than this test thinks"
    assert sum(scripts.values()) <= MAX_FIRST_VIEW_JS_BYTES, scripts
