/** Distances, angles and the cardiothoracic ratio, in pixels of the image or in millimetres. */

import type { PixelSpacing, Study } from "../api/schema";
import { clamp, distance, type Line } from "./geometry";
import { t } from "../i18n/t";

/** A distance as it is told, in millimetres where the file says how large a pixel is. */
export function lengthText(px: number, spacing: PixelSpacing | null): string {
  return spacing === null ? `${Math.round(px)} px` : t("{0} mm", (px * spacing.mm).toFixed(1));
}

export function lineText(line: Line, spacing: PixelSpacing | null): string {
  return lengthText(distance(line), spacing);
}

/** Why a length is no true length, or how far it is to be trusted. */
export function spacingNote(spacing: PixelSpacing | null): string {
  switch (spacing?.source) {
    case undefined:
      return t("Measured in pixels: the file does not say how large a pixel is.");
    case "ImagerPixelSpacing":
      return t("Millimetres at the detector: in the patient it is some 5 to 20% less.");
    case "PixelSpacing":
      return t("Millimetres by the calibration in the file.");
  }
}

/** The smaller angle between two lines, in degrees, 0 to 90. */
export function angleBetween(a: Line, b: Line): number {
  const [first, second] = [a, b].map(({ from, to }) => Math.atan2(to.y - from.y, to.x - from.x));
  const degrees = (Math.abs((first ?? 0) - (second ?? 0)) * 180) / Math.PI;
  const turned = degrees % 180;
  return Math.min(turned, 180 - turned);
}

/** With a line that is drawn: the last one while it is dragged on, else the second, else a new start. */
export function withLine(lines: readonly Line[], line: Line): readonly Line[] {
  const last = lines.at(-1);
  if (last?.from.x === line.from.x && last.from.y === line.from.y) {
    return [...lines.slice(0, -1), line];
  }
  return lines.length === 1 ? [...lines, line] : [line];
}

/** Where the borders stand, in pixels from the left edge of the image. */
export interface RatioLines {
  readonly thoraxRight: number;
  readonly heartRight: number;
  readonly heartLeft: number;
  readonly thoraxLeft: number;
}

/** From the image's left to its right: the patient's right is on the left. */
export const RATIO_LINES = ["thoraxRight", "heartRight", "heartLeft", "thoraxLeft"] as const;

const GAP_PX = 4;

/** Where the lines stand before somebody moves them: at the region of the heart, if there is one. */
export function firstRatio({ image, boxes }: Study): RatioLines {
  const heart = boxes.find(({ finding }) => finding === "Cardiomegaly");
  return {
    thoraxRight: Math.min(image.width * 0.12, (heart?.x_min ?? Infinity) - GAP_PX),
    heartRight: heart?.x_min ?? image.width * 0.4,
    heartLeft: heart?.x_max ?? image.width * 0.65,
    thoraxLeft: Math.max(image.width * 0.88, (heart?.x_max ?? 0) + GAP_PX),
  };
}

/** With one line moved; it never passes its neighbours or the edges of the image. */
export function withRatioLine(
  lines: RatioLines,
  name: keyof RatioLines,
  x: number,
  width: number,
): RatioLines {
  const at = RATIO_LINES.indexOf(name);
  const [before, after] = [RATIO_LINES[at - 1], RATIO_LINES[at + 1]];
  const low = before === undefined ? 0 : lines[before] + GAP_PX;
  const high = after === undefined ? width : lines[after] - GAP_PX;
  return { ...lines, [name]: clamp(x, low, Math.max(low, high)) };
}

export function heartPx({ heartRight, heartLeft }: RatioLines): number {
  return heartLeft - heartRight;
}

export function thoraxPx({ thoraxRight, thoraxLeft }: RatioLines): number {
  return thoraxLeft - thoraxRight;
}

export function ratioOf(lines: RatioLines): number {
  return heartPx(lines) / thoraxPx(lines);
}
