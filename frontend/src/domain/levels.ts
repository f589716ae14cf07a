import type { FindingLevels, FindingProbability, Level } from "../api/schema";
import { outOfHundred } from "./format";
import { t } from "../i18n/t";

/** Strongest first, as everything on the page is ordered. */
export const LEVELS: readonly Level[] = ["likely", "possible", "unlikely"];

export const LEVEL_NAMES: Record<Level, string> = {
  likely: t("Likely"),
  possible: t("Possible"),
  unlikely: t("Unlikely"),
};

/** Nothing is said of 100 images where fewer were measured, as of a small table of one's own. */
const MIN_IMAGES = 100;

/** "Of 100 test images called likely, 43 showed it."; null where that was not measured. */
export function levelMeaning(
  { finding, level }: Pick<FindingProbability, "finding" | "level">,
  measured: readonly FindingLevels[],
): string | null {
  if (level === "unlikely") {
    return null;
  }
  const point = measured.find((entry) => entry.finding === finding)?.[level] ?? null;
  if (point === null || point.precision === null || point.n < MIN_IMAGES) {
    return null;
  }
  // The figure of "possible" counts all images that reach that point, the likely ones among them.
  const called = level === "likely" ? LEVEL_NAMES.likely.toLowerCase() : t("possible or likely");
  return t("Of 100 {0} images called {1}, {2} showed it.", point.split, called, outOfHundred(point.precision.value));
}
