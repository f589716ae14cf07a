import { clamp } from "./geometry";

/**
 * Window and level in grey levels of the rendered 8-bit image.
 *
 * `window` is the range of greys spread over black to white, `level` its middle.
 */
export interface WindowLevel {
  readonly window: number;
  readonly level: number;
}

export const MAX_GREY = 255;
export const FULL_WINDOW: WindowLevel = { window: MAX_GREY, level: MAX_GREY / 2 };
export const MIN_WINDOW = 8;

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

export function clampWindowLevel({ window, level }: WindowLevel): WindowLevel {
  return {
    window: clamp(window, MIN_WINDOW, 2 * MAX_GREY),
    level: clamp(level, 0, MAX_GREY),
  };
}

/** A drag as on a workstation: right widens the window, down darkens by raising the level. */
export function dragWindowLevel(from: WindowLevel, dxPx: number, dyPx: number): WindowLevel {
  const greysPerPx = 0.6;
  return clampWindowLevel({
    window: from.window + dxPx * greysPerPx,
    level: from.level + dyPx * greysPerPx,
  });
}
