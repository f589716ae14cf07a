"""The page's own unit tests, and its types against the committed OpenAPI document."""

import pytest

from support.page_scripts import npm


@pytest.mark.slow
def test_the_pages_own_unit_tests_pass() -> None:
    npm("test")


def test_the_pages_types_are_those_of_the_committed_openapi_document() -> None:
    npm("check:generated")
