import { describe, expect, it } from "vitest";

import {
  edgeOfLeft,
  flipped,
  fromShown,
  imagePoint,
  isUpright,
  screenPoint,
  shownRect,
  shownSize,
  toShown,
  type Turn,
  turnedOn,
  UPRIGHT,
} from "./turn";

const IMAGE = { width: 200, height: 300 };
const TURNS = ([0, 1, 2, 3] as const).flatMap((quarters) =>
  [false, true].map((mirrored): Turn => ({ quarters, mirrored })),
);

describe("a turn", () => {
  it("four quarters, or two flips, are none", () => {
    expect([1, 2, 3, 4].reduce(turnedOn, UPRIGHT)).toEqual(UPRIGHT);
    TURNS.forEach((turn) => expect(flipped(flipped(turn))).toEqual(turn));
    expect(TURNS.filter(isUpright)).toEqual([UPRIGHT]);
  });

  it("a quarter clockwise brings the upper left to the upper right", () => {
    const turn = turnedOn(UPRIGHT);
    expect(shownSize(IMAGE, turn)).toEqual({ width: 300, height: 200 });
    expect(toShown({ x: 0, y: 0 }, IMAGE, turn)).toEqual({ x: 300, y: 0 });
    expect(toShown({ x: 200, y: 0 }, IMAGE, turn)).toEqual({ x: 300, y: 200 });
  });

  it.each(TURNS)("%j flips what is seen, and turns what is seen", (turn) => {
    const size = shownSize(IMAGE, turn);
    const point = { x: 30, y: 50 };
    const seen = toShown(point, IMAGE, turn);
    expect(toShown(point, IMAGE, flipped(turn))).toEqual({ x: size.width - seen.x, y: seen.y });
    expect(toShown(point, IMAGE, turnedOn(turn))).toEqual({ x: size.height - seen.y, y: seen.x });
  });

  it.each(TURNS)("%j is undone", (turn) => {
    const point = { x: 30, y: 50 };
    expect(fromShown(toShown(point, IMAGE, turn), IMAGE, turn)).toEqual(point);
    const place = { image: IMAGE, turn, view: { scale: 2, offsetX: 7, offsetY: -3 } };
    expect(imagePoint(screenPoint(point, place), place)).toEqual(point);
  });

  it.each(TURNS)("%j keeps a box in the image, and its area", (turn) => {
    const box = { x: 10, y: 20, width: 40, height: 70 };
    const { x, y, width, height } = shownRect(box, IMAGE, turn);
    const size = shownSize(IMAGE, turn);
    expect(width * height).toBe(40 * 70);
    expect(x >= 0 && y >= 0 && x + width <= size.width && y + height <= size.height).toBe(true);
  });

  it.each(TURNS)("%j has the patient's left where the image's right edge is seen", (turn) => {
    const size = shownSize(IMAGE, turn);
    const seen = toShown({ x: 200, y: 150 }, IMAGE, turn);
    const edges = { left: [0, size.height / 2], right: [size.width, size.height / 2], top: [size.width / 2, 0], bottom: [size.width / 2, size.height] };
    expect([seen.x, seen.y]).toEqual(edges[edgeOfLeft(turn)]);
  });
});
