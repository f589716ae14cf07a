/**
 * How an image is turned on the screen, with all that lies on it.
 *
 * Boxes, measurements and marks are in pixels of the image as the API gives it. A turn carries them
 * to the *shown plane*, the image as it is looked at, which a view then carries to the screen.
 */

import type { Point, Rect, Size, View } from "./geometry";
import { toImage, toScreen, toScreenPoint } from "./geometry";

/** Mirrored first, left for right; then turned clockwise by so many quarters. */
export interface Turn {
  readonly quarters: 0 | 1 | 2 | 3;
  readonly mirrored: boolean;
}

/** Where an image lies: its size, how it is turned, and where that is on the screen. */
export interface Place {
  readonly image: Size;
  readonly turn: Turn;
  readonly view: View;
}

export const UPRIGHT: Turn = { quarters: 0, mirrored: false };

export function isUpright({ quarters, mirrored }: Turn): boolean {
  return quarters === 0 && !mirrored;
}

/** A quarter further, clockwise as it is seen. */
export function turnedOn({ quarters, mirrored }: Turn): Turn {
  return { quarters: ((quarters + 1) % 4) as Turn["quarters"], mirrored };
}

/** Left for right as it is seen. */
export function flipped({ quarters, mirrored }: Turn): Turn {
  return { quarters: ((4 - quarters) % 4) as Turn["quarters"], mirrored: !mirrored };
}

export function shownSize({ width, height }: Size, { quarters }: Turn): Size {
  return quarters % 2 === 0 ? { width, height } : { width: height, height: width };
}

/** x' = a x + c y + e, y' = b x + d y + f: in the order in which CSS and canvases want them. */
export type Matrix = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

/** From the image to the shown plane. */
export function matrixOf({ width, height }: Size, { quarters, mirrored }: Turn): Matrix {
  const [m, e] = mirrored ? [-1, width] : [1, 0];
  switch (quarters) {
    case 0:
      return [m, 0, 0, 1, e, 0];
    case 1:
      return [0, m, -1, 0, height, e];
    case 2:
      return [-m, 0, 0, -1, width - e, height];
    case 3:
      return [0, -m, 1, 0, 0, width - e];
  }
}

/** From the image to the screen, as a CSS transform. */
export function transformOf({ image, turn, view: { scale, offsetX, offsetY } }: Place): string {
  const [a, b, c, d, e, f] = matrixOf(image, turn);
  const on = [a * scale, b * scale, c * scale, d * scale, e * scale + offsetX, f * scale + offsetY];
  return `matrix(${on.join(", ")})`;
}

export function toShown({ x, y }: Point, image: Size, turn: Turn): Point {
  const [a, b, c, d, e, f] = matrixOf(image, turn);
  return { x: a * x + c * y + e, y: b * x + d * y + f };
}

/** Back: the matrix of a turn is its own inverse but for the sign, so its transpose undoes it. */
export function fromShown(point: Point, image: Size, turn: Turn): Point {
  const [a, b, c, d, e, f] = matrixOf(image, turn);
  const [x, y] = [point.x - e, point.y - f];
  // `|| 0`: no negative zero.
  return { x: a * x + b * y || 0, y: c * x + d * y || 0 };
}

export function shownRect(rect: Rect, image: Size, turn: Turn): Rect {
  const a = toShown(rect, image, turn);
  const b = toShown({ x: rect.x + rect.width, y: rect.y + rect.height }, image, turn);
  return {
    x: Math.min(a.x, b.x),
    y: Math.min(a.y, b.y),
    width: Math.abs(a.x - b.x),
    height: Math.abs(a.y - b.y),
  };
}

/** A point of the image, on the screen. */
export function screenPoint(point: Point, { image, turn, view }: Place): Point {
  return toScreenPoint(toShown(point, image, turn), view);
}

/** A point of the screen, in the image. */
export function imagePoint(point: Point, { image, turn, view }: Place): Point {
  return fromShown(toImage(point, view), image, turn);
}

export function screenRect(rect: Rect, { image, turn, view }: Place): Rect {
  return toScreen(shownRect(rect, image, turn), view);
}

export type Edge = "left" | "right" | "top" | "bottom";

const EDGES: readonly Edge[] = ["right", "bottom", "left", "top"];

/** Where the patient's left is seen, which an image that hangs as usual has on its right. */
export function edgeOfLeft({ quarters, mirrored }: Turn): Edge {
  return EDGES[((mirrored ? 2 : 0) + quarters) % 4] ?? "right";
}

export function oppositeEdge(edge: Edge): Edge {
  return EDGES[(EDGES.indexOf(edge) + 2) % 4] ?? edge;
}
