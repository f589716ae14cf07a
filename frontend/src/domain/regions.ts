import type { Box, Region } from "../api/schema";

/** The boxes of one kind, for the list in which they are shown and hidden. */
export interface RegionGroup {
  readonly finding: Region;
  readonly count: number;
  readonly bestScore: number;
  /** Positions in the study's `boxes`. */
  readonly indices: readonly number[];
}

/** One group for each kind of box, the most certain first. */
export function groupBoxes(boxes: readonly Box[]): RegionGroup[] {
  const groups = new Map<Region, { indices: number[]; bestScore: number }>();
  boxes.forEach((box, index) => {
    const group = groups.get(box.finding) ?? { indices: [], bestScore: 0 };
    group.indices.push(index);
    group.bestScore = Math.max(group.bestScore, box.score);
    groups.set(box.finding, group);
  });
  return [...groups.entries()]
    .map(([finding, group]) => ({ finding, count: group.indices.length, ...group }))
    .sort((a, b) => b.bestScore - a.bestScore);
}
