"""A report as an operator reads it in a terminal."""

from cxr_gateway.shadow.schemas import Latency, ShadowReport


def report_text(report: ShadowReport) -> str:
    """The whole report, a line each."""
    shadow = f"{report.shadow.name} {report.shadow.version} ({report.shadow.sha256[:12]})"
    failures = ", ".join(f"{one.kind} {one.studies}" for one in report.failures) or "none"
    lines = [
        f"{report.role}: {shadow} beside {report.current_sha256[:12]}",
        f"images          {report.recorded}, from {report.first_at:%Y-%m-%d %H:%M} to "
        f"{report.last_at:%Y-%m-%d %H:%M} UTC",
        f"failures        {failures}",
        f"priorities      {report.priority_changes} of {report.answered} would have changed"
        + "".join(
            f"; {one.current} to {one.shadow} {one.studies}"
            for one in report.priorities
            if one.current != one.shadow
        ),
        f"boxes an image  {report.boxes_per_image_current:.2f} current, "
        f"{report.boxes_per_image_shadow:.2f} by the shadow",
        f"milliseconds    {_ms(report.latency_current)} current, "
        f"{_ms(report.latency_shadow)} by the shadow (median, 95th percentile)",
    ]
    if report.findings:
        lines += [
            "",
            "finding              same level  shadow higher  shadow lower  mean difference",
        ]
    for one in report.findings:
        lines.append(
            f"{one.finding:<20} {one.agreement:>10.0%} {one.shadow_higher:>14} "
            f"{one.shadow_lower:>13} {one.mean_absolute_difference:>16.3f}"
        )
    return "\n".join(lines)


def _ms(latency: Latency | None) -> str:
    return f"{latency.median_ms:.0f} and {latency.p95_ms:.0f}" if latency else "unknown"
