import { describe, expect, it } from "vitest";

import {
  clampWindowLevel,
  dragWindowLevel,
  FULL_WINDOW,
  isFullWindow,
  MIN_WINDOW,
  rangeOf,
  storedEnds,
  toldWindow,
  transferOf,
  type WindowLevel,
} from "./windowLevel";

function shown(grey: number, windowLevel: WindowLevel, inverted = false): number {
  const { slope, intercept } = transferOf(windowLevel, inverted);
  return slope * (grey / 255) + intercept;
}

describe("transferOf", () => {
  it("leaves every grey as it is with the full window", () => {
    expect(transferOf(FULL_WINDOW, false)).toEqual({ slope: 1, intercept: 0 });
  });

  it("turns every grey round when inverted", () => {
    expect(transferOf(FULL_WINDOW, true)).toEqual({ slope: -1, intercept: 1 });
  });

  it("spreads the window from black to white, its level in the middle", () => {
    const window = { window: 100, level: 80 };
    expect(shown(30, window)).toBeCloseTo(0);
    expect(shown(80, window)).toBeCloseTo(0.5);
    expect(shown(130, window)).toBeCloseTo(1);
    expect(shown(130, window, true)).toBeCloseTo(0);
  });
});

describe("dragWindowLevel", () => {
  it("widens to the right and darkens downwards", () => {
    const dragged = dragWindowLevel({ window: 100, level: 100 }, 50, 50);
    expect(dragged.window).toBeGreaterThan(100);
    expect(shown(128, dragged)).toBeLessThan(shown(128, { window: 100, level: 100 }));
  });

  it("never reaches a window of nothing", () => {
    expect(dragWindowLevel(FULL_WINDOW, -1e4, -1e4)).toEqual({ window: MIN_WINDOW, level: 0 });
  });
});

describe("the file's own greys", () => {
  const greys = { bits: 12, darkest: 50, brightest: 4000, black: 1000, white: 2020, spacing: null, sided: false };

  it("reach beyond those of the rendered image", () => {
    const range = rangeOf(greys);
    expect(range.low).toBeCloseTo((50 - 1000) / 4);
    expect(range.high).toBeCloseTo((4000 - 1000) / 4);
    expect(range.minWindow).toBeCloseTo(2);
    expect(clampWindowLevel({ window: 1e6, level: -1e6 }, range).level).toBe(range.low);
    expect(rangeOf({ ...greys, darkest: 1500, brightest: 1600 })).toMatchObject({ low: 0, high: 255 });
  });

  it("are what window and level are told in", () => {
    expect(storedEnds(FULL_WINDOW, greys)).toEqual({ black: 1000, white: 2020 });
    expect(storedEnds({ window: 510, level: 127.5 }, greys)).toEqual({ black: 490, white: 2530 });
    expect(toldWindow(FULL_WINDOW, greys)).toEqual({ window: "1020", level: "1510" });
    expect(toldWindow(FULL_WINDOW, null)).toEqual({ window: "255", level: "128" });
  });
});

it("limits what a slider may ask for", () => {
  expect(clampWindowLevel({ window: 1e4, level: 1e4 })).toEqual({ window: 510, level: 255 });
  expect(isFullWindow(clampWindowLevel(FULL_WINDOW))).toBe(true);
  expect(isFullWindow({ window: 254, level: 127.5 })).toBe(false);
});
