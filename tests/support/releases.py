"""The release before this one, out of the checkout's history."""

import subprocess
from pathlib import Path

from cxr_gateway.archive.schema import OLDEST

ROOT = Path(__file__).parents[2]
MIGRATIONS = "services/gateway/cxr_gateway/archive/migrations/versions"


def git(*arguments: str, folder: Path = ROOT) -> str:
    """What git prints; CalledProcessError or OSError where there is no checkout."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit_before() -> str:
    """The commit before the newest migration was added.

    Where that one's schema is older than what may work beside today's, the first commit with
    today's schema: its code is older, and its database the same.
    """
    newest = sorted((ROOT / MIGRATIONS).glob("0*.py"))[-1].relative_to(ROOT)
    added = git("log", "-1", "--diff-filter=A", "--format=%H", "--", str(newest))
    if not added:
        return git("rev-parse", "HEAD")
    files = git("ls-tree", "--name-only", f"{added}^", f"{MIGRATIONS}/").splitlines()
    revisions = [Path(name).name[:4] for name in files if Path(name).name.startswith("0")]
    return git("rev-parse", f"{added}^") if max(revisions, default="") >= OLDEST else added
