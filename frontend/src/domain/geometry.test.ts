import { describe, expect, it } from "vitest";

import {
  FIT_MARGIN_PX,
  fitView,
  focusView,
  KEPT_IN_SIGHT_PX,
  panBy,
  rectOf,
  toImage,
  toScreen,
  type View,
  visibleRegion,
  zoomAt,
} from "./geometry";

const IMAGE = { width: 1841, height: 1955 };
const VIEWPORT = { width: 820.5, height: 733.25 };
const BOX = rectOf({ x_min: 120.25, y_min: 1210.5, x_max: 610.75, y_max: 1720.125 });

describe("fitView", () => {
  it("shows the whole image, centred, with a margin on the tighter side", () => {
    const { x, y, width, height } = toScreen({ x: 0, y: 0, ...IMAGE }, fitView(IMAGE, VIEWPORT));
    expect(height).toBeCloseTo(VIEWPORT.height - 2 * FIT_MARGIN_PX);
    expect(y).toBeCloseTo(FIT_MARGIN_PX);
    expect(x + width / 2).toBeCloseTo(VIEWPORT.width / 2);
    expect(width / height).toBeCloseTo(IMAGE.width / IMAGE.height);
  });

  it("enlarges a small image and survives a viewport smaller than its margins", () => {
    expect(fitView({ width: 64, height: 64 }, VIEWPORT).scale).toBeGreaterThan(1);
    expect(fitView(IMAGE, { width: 10, height: 10 }).scale).toBeGreaterThan(0);
  });
});

describe("zoomAt", () => {
  const fitted = fitView(IMAGE, VIEWPORT);

  it("keeps what lies under the pointer where it is", () => {
    const anchor = { x: 300, y: 410 };
    const before = toImage(anchor, fitted);
    const zoomed = zoomAt(fitted, 2.5, anchor, IMAGE, VIEWPORT);
    expect(zoomed.scale).toBeCloseTo(fitted.scale * 2.5);
    expect(toImage(anchor, zoomed).x).toBeCloseTo(before.x);
    expect(toImage(anchor, zoomed).y).toBeCloseTo(before.y);
  });

  it.each([1e6, 1e-6])("stops at a sensible scale when zoomed by %d", (factor) => {
    const { scale } = zoomAt(fitted, factor, { x: 0, y: 0 }, IMAGE, VIEWPORT);
    expect(scale).toBe(factor > 1 ? 16 : fitted.scale / 2);
  });
});

describe("panBy", () => {
  it("moves by screen pixels", () => {
    const view = fitView(IMAGE, VIEWPORT);
    const moved = panBy(view, 12, -7, IMAGE, VIEWPORT);
    expect(moved.offsetX - view.offsetX).toBeCloseTo(12);
    expect(moved.offsetY - view.offsetY).toBeCloseTo(-7);
  });

  it.each([
    [1e5, 1e5],
    [-1e5, -1e5],
  ])("keeps a strip of the image in sight when pushed by %d, %d", (dx, dy) => {
    const view = panBy(fitView(IMAGE, VIEWPORT), dx, dy, IMAGE, VIEWPORT);
    const { x, y, width, height } = toScreen({ x: 0, y: 0, ...IMAGE }, view);
    const inSightX = Math.min(x + width, VIEWPORT.width) - Math.max(x, 0);
    const inSightY = Math.min(y + height, VIEWPORT.height) - Math.max(y, 0);
    expect(inSightX).toBeCloseTo(KEPT_IN_SIGHT_PX);
    expect(inSightY).toBeCloseTo(KEPT_IN_SIGHT_PX);
  });
});

it("focusing on a box puts it in the middle, with some of its surroundings", () => {
  const screen = toScreen(BOX, focusView(BOX, IMAGE, VIEWPORT));
  expect(screen.x + screen.width / 2).toBeCloseTo(VIEWPORT.width / 2);
  expect(screen.y + screen.height / 2).toBeCloseTo(VIEWPORT.height / 2);
  expect(screen.height).toBeLessThan(VIEWPORT.height / 2);
});

const VIEWS: readonly View[] = [
  fitView(IMAGE, VIEWPORT),
  { scale: 1, offsetX: -400.5, offsetY: 33.25 },
  { scale: 16, offsetX: -9000, offsetY: -12000 },
];

it.each(VIEWS)("an SVG with the visible region as its viewBox draws a box where it is: %o", (view) => {
  const region = visibleRegion(view, VIEWPORT);
  const screen = toScreen(BOX, view);
  expect(((BOX.x - region.x) * VIEWPORT.width) / region.width).toBeCloseTo(screen.x, 6);
  expect(((BOX.y - region.y) * VIEWPORT.height) / region.height).toBeCloseTo(screen.y, 6);
  expect((BOX.width * VIEWPORT.width) / region.width).toBeCloseTo(screen.width, 6);
});

it("screen and image coordinates are each other's inverse", () => {
  const view = { scale: 0.37, offsetX: 12.5, offsetY: -80 };
  const point = toImage(toScreen({ x: 77, y: 1902, width: 0, height: 0 }, view), view);
  expect(point.x).toBeCloseTo(77);
  expect(point.y).toBeCloseTo(1902);
});
