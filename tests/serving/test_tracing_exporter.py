"""What is logged of a collector: that it went, and that it is back."""

import logging
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from cxr_serving.otlp import LoggingExporter


class Scripted(SpanExporter):
    """A collector that takes spans as the script says."""

    def __init__(self, *taken: bool) -> None:
        self._taken = iter(taken)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        del spans
        return SpanExportResult.SUCCESS if next(self._taken) else SpanExportResult.FAILURE


def test_a_collector_that_goes_and_comes_is_logged_at_each_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = (True, True, False, False, False, True, True, False)
    exporter = LoggingExporter(Scripted(*script))
    with caplog.at_level(logging.INFO, "cxr.tracing"):
        for taken in script:
            assert (exporter.export([]) is SpanExportResult.SUCCESS) == taken
    assert caplog.messages == [
        "the collector does not take traces; they are dropped until it does",
        "the collector takes traces again",
        "the collector does not take traces; they are dropped until it does",
    ]
