import type { Finding, Study } from "../api/schema";

export interface Change {
  readonly finding: Finding;
  /** Probabilities, 0 to 1. */
  readonly before: number;
  readonly now: number;
  /** Whole percentage points; of the numbers as they are shown, so that the row adds up. */
  readonly points: number;
}

/** Each finding of both studies, in the order of the later one: likely first. */
export function changesOf(study: Study, prior: Study): Change[] {
  const earlier = new Map(prior.findings.map(({ finding, probability }) => [finding, probability]));
  return study.findings.flatMap(({ finding, probability: now }) => {
    const before = earlier.get(finding);
    if (before === undefined) {
      return [];
    }
    return [{ finding, before, now, points: Math.round(now * 100) - Math.round(before * 100) }];
  });
}
