import type { FindingProbability } from "../api/schema";

/** In which order the fourteen are listed. */
export type FindingOrder = "probability" | "threshold" | "name";

export const FINDING_ORDERS: readonly { readonly value: FindingOrder; readonly label: string }[] = [
  { value: "probability", label: "Most probable first" },
  { value: "threshold", label: "Furthest above its threshold first" },
  { value: "name", label: "By name" },
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
  probability: (a, b) => b.probability - a.probability,
  threshold: (a, b) => relativeToThreshold(b) - relativeToThreshold(a),
  name: (a, b) => a.finding.localeCompare(b.finding),
};

/** How many times its threshold a probability is; operating points differ per finding. */
export function relativeToThreshold({ probability, threshold }: FindingProbability): number {
  return threshold > 0 ? probability / threshold : probability > 0 ? Infinity : 1;
}

/**
 * Where a probability stands on a bar, 0..1.
 *
 * A square root, because operating points of rare findings lie at a few per cent: on a
 * straight scale mark and bar would fall together at the left end.
 */
export function barPosition(probability: number): number {
  return Math.sqrt(Math.min(Math.max(probability, 0), 1));
}
