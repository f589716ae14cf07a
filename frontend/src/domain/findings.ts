import type { Finding, FindingProbability } from "../api/schema";
import { FINDING_COLOURS } from "./colours";
import { LEVELS } from "./levels";
import { t } from "../i18n/t";

/** What only the detector knows. */
const REGIONS_ONLY = new Set(["Calcification", "Diffuse_Nodule", "Fracture"]);

/** The fourteen that the classifier knows, by name. */
export const FINDINGS = Object.keys(FINDING_COLOURS).filter((name): name is Finding => !REGIONS_ONLY.has(name));

/** In which order findings are listed. */
export type FindingOrder = "level" | "probability" | "name";

export const FINDING_ORDERS: readonly { readonly value: FindingOrder; readonly label: string }[] = [
  { value: "level", label: t("Strongest evidence first") },
  { value: "probability", label: t("Most probable first") },
  { value: "name", label: t("By name") },
];

/** A sorted copy; equal findings keep the order of the API. */
export function sortFindings(
  findings: readonly FindingProbability[],
  order: FindingOrder,
): FindingProbability[] {
  return [...findings].sort(COMPARISONS[order]);
}

type Comparison = (a: FindingProbability, b: FindingProbability) => number;

const COMPARISONS: Record<FindingOrder, Comparison> = {
  level: (a, b) =>
    LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level) || b.probability - a.probability,
  probability: (a, b) => b.probability - a.probability,
  name: (a, b) => a.finding.localeCompare(b.finding),
};

/**
 * Where a probability stands on a bar, 0..1.
 *
 * A square root, because operating points of rare findings lie at a few per cent: on a
 * straight scale marks and bar would fall together at the left end.
 */
export function barPosition(probability: number): number {
  return Math.sqrt(Math.min(Math.max(probability, 0), 1));
}
