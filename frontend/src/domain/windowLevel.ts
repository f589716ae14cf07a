import type { StoredGreys } from "../api/schema";
import { clamp } from "./geometry";

/**
 * Window and level in greys of `image.png`, 0 black and 255 white.
 *
 * `window` is the range of greys spread over black to white, `level` its middle. The file's own
 * greys reach beyond: one that lies below the black of `image.png` has a grey below 0.
 */
export interface WindowLevel {
  readonly window: number;
  readonly level: number;
}

/** Which greys there are, and how narrow a window may be. */
export interface GreyRange {
  readonly low: number;
  readonly high: number;
  readonly minWindow: number;
}

export const MAX_GREY = 255;
export const FULL_WINDOW: WindowLevel = { window: MAX_GREY, level: MAX_GREY / 2 };
export const MIN_WINDOW = 8;
/** Of `image.png` alone. */
export const RENDERED_RANGE: GreyRange = { low: 0, high: MAX_GREY, minWindow: MIN_WINDOW };

/** out = slope * in + intercept, for greys in 0..1; the filter clips the result to 0..1. */
export interface Transfer {
  readonly slope: number;
  readonly intercept: number;
}

export function transferOf({ window, level }: WindowLevel, inverted: boolean): Transfer {
  const slope = MAX_GREY / window;
  const intercept = 0.5 - level / window;
  // `|| 0`: no negative zero in the markup.
  return inverted
    ? { slope: -slope, intercept: 1 - intercept }
    : { slope, intercept: intercept || 0 };
}

export function isFullWindow({ window, level }: WindowLevel): boolean {
  return window === FULL_WINDOW.window && level === FULL_WINDOW.level;
}

export function clampWindowLevel({ window, level }: WindowLevel, range: GreyRange = RENDERED_RANGE): WindowLevel {
  return {
    window: clamp(window, range.minWindow, 2 * (range.high - range.low)),
    level: clamp(level, range.low, range.high),
  };
}

/** A drag as on a workstation: right widens the window, down darkens by raising the level. */
export function dragWindowLevel(from: WindowLevel, dxPx: number, dyPx: number, range = RENDERED_RANGE): WindowLevel {
  const greysPerPx = 0.6;
  return clampWindowLevel(
    { window: from.window + dxPx * greysPerPx, level: from.level + dyPx * greysPerPx },
    range,
  );
}

/** How many of the file's own greys one grey of `image.png` is. */
function storedPerGrey({ black, white }: StoredGreys): number {
  return (white - black) / MAX_GREY;
}

/** A stored value, in greys of `image.png`. */
export function greyOfStored(value: number, greys: StoredGreys): number {
  return (value - greys.black) / storedPerGrey(greys);
}

/** The greys that a file has, in greys of `image.png`. */
export function rangeOf(greys: StoredGreys): GreyRange {
  return {
    low: Math.min(0, greyOfStored(greys.darkest, greys)),
    high: Math.max(MAX_GREY, greyOfStored(greys.brightest, greys)),
    minWindow: Math.min(MIN_WINDOW, MIN_WINDOW / storedPerGrey(greys)),
  };
}

/** The stored values that are black and white. */
export function storedEnds({ window, level }: WindowLevel, greys: StoredGreys): { black: number; white: number } {
  const per = storedPerGrey(greys);
  return {
    black: greys.black + (level - window / 2) * per,
    white: greys.black + (level + window / 2) * per,
  };
}

/** Window and level as they are told: in the file's own greys, once they are known. */
export function toldWindow(windowLevel: WindowLevel, greys: StoredGreys | null): { window: string; level: string } {
  if (greys === null) {
    return { window: String(Math.round(windowLevel.window)), level: String(Math.round(windowLevel.level)) };
  }
  const { black, white } = storedEnds(windowLevel, greys);
  return { window: String(Math.round(white - black)), level: String(Math.round((white + black) / 2)) };
}
