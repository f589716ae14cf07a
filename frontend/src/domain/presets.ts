import { FULL_WINDOW, MAX_GREY, type WindowLevel } from "./windowLevel";
import { t } from "../i18n/t";

export type Preset = "stored" | "auto" | "lung" | "mediastinum" | "bone";

/**
 * Which share of an image's own greys, darkest first, is spread over black to white.
 *
 * A radiograph has no unit that one window would fit: exposure and processing differ from image
 * to image. So a preset is a range of the image's own greys: air is dark, bone is bright.
 */
const RANGES: Record<Exclude<Preset, "stored">, readonly [number, number]> = {
  auto: [0.01, 0.99],
  lung: [0.02, 0.6],
  mediastinum: [0.35, 0.95],
  bone: [0.5, 0.998],
};

export const PRESETS: readonly { readonly value: Preset; readonly label: string }[] = [
  { value: "stored", label: t("As stored") },
  { value: "auto", label: t("Auto") },
  { value: "lung", label: t("Lung") },
  { value: "mediastinum", label: t("Mediastinum") },
  { value: "bone", label: t("Bone") },
];

/** How many pixels have each value, and which grey of `image.png` a value is. */
export interface Histogram {
  readonly counts: ArrayLike<number>;
  readonly greyOf: (value: number) => number;
  /** Collimator and burnt-out air: they say nothing of the body and are left out. */
  readonly ends: readonly [number, number];
}

/** Of `image.png`: the greys 0 to 255. */
export function renderedHistogram(counts: ArrayLike<number>): Histogram {
  return { counts, greyOf: (grey) => grey, ends: [0, MAX_GREY] };
}

/** The window of a preset over an image. */
export function presetWindow(preset: Preset, { counts, greyOf, ends }: Histogram): WindowLevel {
  if (preset === "stored") {
    return FULL_WINDOW;
  }
  const [low, high] = valuesBelow(counts, ends, RANGES[preset]).map(greyOf);
  if (low === undefined || high === undefined || high <= low) {
    return FULL_WINDOW;
  }
  return { window: high - low, level: (high + low) / 2 };
}

/** The values below which these shares of the pixels lie. */
function valuesBelow(
  counts: ArrayLike<number>,
  [first, last]: readonly [number, number],
  shares: readonly number[],
): number[] {
  let total = 0;
  for (let value = first + 1; value < last; value += 1) {
    total += counts[value] ?? 0;
  }
  return shares.map((share) => {
    let sum = 0;
    for (let value = first + 1; value < last; value += 1) {
      sum += counts[value] ?? 0;
      if ((counts[value] ?? 0) > 0 && sum >= total * share) {
        return value;
      }
    }
    return last;
  });
}

/** The preset that a window is, if it is one. */
export function presetOf(windowLevel: WindowLevel, chosen: Preset | null): Preset | "" {
  if (windowLevel.window === FULL_WINDOW.window && windowLevel.level === FULL_WINDOW.level) {
    return "stored";
  }
  return chosen ?? "";
}
