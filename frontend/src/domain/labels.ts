import type { Rect, Size } from "./geometry";

export const LABEL_HEIGHT_PX = 20;
const GAP_PX = 2;

/**
 * Where the label of each box goes, in viewport pixels.
 *
 * Tried in order: above the box, below it, inside at its top, inside at its bottom, then
 * further and further down. The first place that lies in the viewport and hides no label
 * placed before is taken; boxes come most certain first, so those get the best places.
 */
export function placeLabels(
  boxes: readonly Rect[],
  widths: readonly number[],
  viewport: Size,
): Rect[] {
  const placed: Rect[] = [];
  boxes.forEach((box, index) => {
    const width = widths[index] ?? 0;
    const candidates = candidatesFor(box, width).map((label) => pushedIn(label, box, viewport));
    const free = candidates.find((label) => placed.every((other) => !overlap(label, other)));
    placed.push(free ?? firstOf(candidates));
  });
  return placed;
}

function candidatesFor(box: Rect, width: number): Rect[] {
  const size = { width, height: LABEL_HEIGHT_PX };
  const bottom = box.y + box.height;
  const tops = [
    box.y - LABEL_HEIGHT_PX - GAP_PX,
    bottom + GAP_PX,
    box.y + GAP_PX,
    bottom - LABEL_HEIGHT_PX - GAP_PX,
  ];
  for (let step = 1; step <= 8; step += 1) {
    tops.push(box.y + GAP_PX + step * (LABEL_HEIGHT_PX + GAP_PX));
  }
  return tops.map((y) => ({ x: box.x, y, ...size }));
}

/** A label of a box that is in sight stays in sight; others may leave with their box. */
function pushedIn(label: Rect, box: Rect, viewport: Size): Rect {
  if (!overlap(box, { x: 0, y: 0, ...viewport })) {
    return label;
  }
  return {
    ...label,
    x: Math.max(0, Math.min(label.x, viewport.width - label.width)),
    y: Math.max(0, Math.min(label.y, viewport.height - label.height)),
  };
}

function overlap(a: Rect, b: Rect): boolean {
  return (
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
  );
}

function firstOf(candidates: readonly Rect[]): Rect {
  const first = candidates[0];
  if (first === undefined) {
    throw new Error("a box has at least one place for its label");
  }
  return first;
}
