import { expect, test } from "vitest";

import { coarser } from "./coarser";

const IMAGE = { width: 3, height: 3, values: Uint16Array.from([0, 2, 60_000, 4, 6, 65_000, 7, 8, 9]) };

test("pixels that become one have their mean, also where the image ends", () => {
  expect(coarser(IMAGE, 2)).toEqual({ width: 2, height: 2, values: Uint16Array.from([3, 62_500, 8, 9]) });
  expect(coarser(IMAGE, 3)).toEqual({ width: 1, height: 1, values: Uint16Array.from([13_893]) });
  expect(coarser(IMAGE, 9)).toEqual(coarser(IMAGE, 3));
});

test("an image that is shown pixel by pixel stays as it is", () => {
  expect(coarser(IMAGE, 1)).toBe(IMAGE);
});
