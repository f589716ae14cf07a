import { expect, it } from "vitest";

import type { Rect } from "./geometry";
import { inSight, LABEL_HEIGHT_PX, leaderOf, overlapShare, placeLabels } from "./labels";

const VIEWPORT = { x: 0, y: 0, width: 800, height: 600 };

function overlap(a: Rect, b: Rect): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

it("a label stands above its box, from its left edge", () => {
  const [label] = placeLabels([{ x: 100, y: 100, width: 50, height: 50 }], [90], VIEWPORT);
  expect(label).toEqual({ x: 100, y: 100 - LABEL_HEIGHT_PX - 2, width: 90, height: LABEL_HEIGHT_PX });
});

it("labels of boxes in one place do not cover each other", () => {
  const box = { x: 300, y: 200, width: 120, height: 90 };
  const labels = placeLabels(Array<Rect>(6).fill(box), Array<number>(6).fill(110), VIEWPORT);
  labels.forEach((a, i) =>
    labels.slice(i + 1).forEach((b) => expect(overlap(a, b), `${i}`).toBe(false)),
  );
});

it.each([
  { x: -30, y: -30, width: 60, height: 60 },
  { x: 780, y: 590, width: 60, height: 60 },
  { x: 0, y: 0, width: 800, height: 600 },
])("the label of a box in sight stays in sight: %o", (box) => {
  const [label] = placeLabels([box], [120], VIEWPORT);
  expect(label?.x).toBeGreaterThanOrEqual(0);
  expect(label?.y).toBeGreaterThanOrEqual(0);
  expect((label?.x ?? 0) + 120).toBeLessThanOrEqual(VIEWPORT.width);
  expect((label?.y ?? 0) + LABEL_HEIGHT_PX).toBeLessThanOrEqual(VIEWPORT.height);
});

it("the label of a box out of sight leaves with it", () => {
  const [label] = placeLabels([{ x: -500, y: 100, width: 50, height: 50 }], [90], VIEWPORT);
  expect(label?.x).toBe(-500);
});

it("a label lies on the image, and not on the dark beside it", () => {
  const field = inSight({ x: 200, y: -50, width: 400, height: 500 }, { width: 800, height: 600 });
  expect(field).toEqual({ x: 200, y: 0, width: 400, height: 450 });
  const [label] = placeLabels([{ x: 560, y: 420, width: 40, height: 30 }], [120], field);
  expect((label?.x ?? 0) + 120).toBe(600);
  expect((label?.y ?? 0) + LABEL_HEIGHT_PX).toBeLessThanOrEqual(450);
});

it("a label away from its box is led to it, one beside it is not", () => {
  const box = { x: 100, y: 100, width: 50, height: 50 };
  expect(leaderOf({ x: 100, y: 78, width: 90, height: 20 }, box)).toBeNull();
  expect(leaderOf({ x: 100, y: 200, width: 90, height: 20 }, box)).toEqual({
    from: { x: 145, y: 150 },
    to: { x: 145, y: 200 },
  });
});

it("boxes are one by the share that they have in common", () => {
  const box = { x: 0, y: 0, width: 10, height: 10 };
  expect(overlapShare(box, box)).toBe(1);
  expect(overlapShare(box, { ...box, x: 5 })).toBeCloseTo(1 / 3);
  expect(overlapShare(box, { ...box, x: 10 })).toBe(0);
});
