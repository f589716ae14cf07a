import { clamp, type Line, type Point, type Rect, type Size } from "./geometry";

export const LABEL_HEIGHT_PX = 20;
const GAP_PX = 2;

/**
 * Where the label of each box goes, in viewport pixels.
 *
 * Tried in order: above the box, below it, inside at its top, inside at its bottom, then
 * further and further down. The first place that lies in `field`, the part of the image that is
 * in sight, and hides no label placed before is taken; boxes come most certain first, so those
 * get the best places.
 */
export function placeLabels(
  boxes: readonly Rect[],
  widths: readonly number[],
  field: Rect,
): Rect[] {
  const placed: Rect[] = [];
  boxes.forEach((box, index) => {
    const width = widths[index] ?? 0;
    const candidates = candidatesFor(box, width).map((label) => pushedIn(label, box, field));
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
function pushedIn(label: Rect, box: Rect, field: Rect): Rect {
  if (!overlap(box, field)) {
    return label;
  }
  return {
    ...label,
    x: Math.max(field.x, Math.min(label.x, field.x + field.width - label.width)),
    y: Math.max(field.y, Math.min(label.y, field.y + field.height - label.height)),
  };
}

/** The part of an image that lies in the viewport; both in viewport pixels. */
export function inSight(image: Rect, viewport: Size): Rect {
  const x = Math.max(0, image.x);
  const y = Math.max(0, image.y);
  return {
    x,
    y,
    width: Math.max(0, Math.min(image.x + image.width, viewport.width) - x),
    height: Math.max(0, Math.min(image.y + image.height, viewport.height) - y),
  };
}

/** From a label to its box, where the one does not touch the other; null where it does. */
export function leaderOf(label: Rect, box: Rect): Line | null {
  const from = nearest(box, { x: label.x + label.width / 2, y: label.y + label.height / 2 });
  const to = nearest(label, from);
  const gap = Math.hypot(from.x - to.x, from.y - to.y);
  return gap > 2 * GAP_PX ? { from, to } : null;
}

function nearest({ x, y, width, height }: Rect, to: Point): Point {
  return { x: clamp(to.x, x, x + width), y: clamp(to.y, y, y + height) };
}

/** How much two boxes are one: their common area over that of both together, 0 to 1. */
export function overlapShare(a: Rect, b: Rect): number {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  const common = Math.max(0, width) * Math.max(0, height);
  return common === 0 ? 0 : common / (a.width * a.height + b.width * b.height - common);
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
