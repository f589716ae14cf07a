import { expect, it } from "vitest";

import type { Rect } from "./geometry";
import { LABEL_HEIGHT_PX, placeLabels } from "./labels";

const VIEWPORT = { width: 800, height: 600 };

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
