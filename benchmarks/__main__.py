"""`python -m benchmarks`: measure, write docs/results/speed/, print the table."""

import argparse
from pathlib import Path

from benchmarks.measure import Plan, measure
from benchmarks.report import write


def main() -> None:
    """Parse the plan, measure, report."""
    default = Plan()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=default.rounds)
    parser.add_argument("--requests", type=int, default=default.requests, help="in each run")
    parser.add_argument("--memory-requests", type=int, default=default.memory_requests)
    parser.add_argument(
        "--earlier-detector",
        type=Path,
        help="published folder, e.g. of an earlier release, for one more eager process",
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results/speed"))
    options = parser.parse_args()
    plan = Plan(
        options.rounds,
        options.requests,
        memory_requests=options.memory_requests,
        earlier_detector=options.earlier_detector,
    )
    print(write(measure(plan), options.out))


if __name__ == "__main__":
    main()
