"""Figures and Markdown tables as text."""

from cxr_contracts import Interval


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, first column to the left, the others to the right."""
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def format_interval(result: Interval, digits: int = 3) -> str:
    """E.g. `0.812 (0.780 to 0.841)`; the figure alone where it carries no interval."""
    value = f"{result.value:.{digits}f}"
    if result.low == result.high:
        return value
    return f"{value} ({result.low:.{digits}f} to {result.high:.{digits}f})"
