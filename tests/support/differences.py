"""How far renderings differ from those of other toolkits, as a table."""

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Differences:
    """What the tests of this session found: by group, the levels of grey of each file."""

    levels: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    explained: list[tuple[str, str, int, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def found(self, group: str, levels: int) -> None:
        """A file whose greatest difference is `levels`."""
        self.levels[group].append(levels)

    def page(self) -> str:
        """As Markdown."""
        lines = [
            "# Rendering beside DCMTK and GDCM",
            "",
            "Made by `make test-images`: the greatest difference of each file in levels of grey, "
            "of 255. DCMTK renders the file itself with its first window or VOI LUT; GDCM "
            "decompresses it, and both versions are rendered here.",
            "",
            "| compared | files | equal | 1 level | more | most |",
            "| --- | --: | --: | --: | --: | --: |",
        ]
        for group, found in sorted(self.levels.items()):
            counts = [found.count(0), found.count(1), sum(one > 1 for one in found)]
            cells = [str(len(found)), *map(str, counts), str(max(found))]
            lines.append(f"| {group} | " + " | ".join(cells) + " |")
        if self.explained:
            lines += ["", "More than a level, and why:", ""]
            lines += [f"- `{name}`, {by}: {most}. {why}" for name, by, most, why in self.explained]
        if self.refused:
            lines += ["", "Packaged files that are refused, and so not compared:", ""]
            lines += [f"- `{name}`: {why}" for name, why in self.refused]
        return "\n".join(lines) + "\n"
