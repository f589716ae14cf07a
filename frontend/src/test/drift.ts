import type { DriftFlag, DriftReport, DriftStatistic } from "../api/schema";

const WEEKS = ["2026-W46", "2026-W47"] as const;
const SHA = "ab".repeat(32);

function flagOf(psi: number | null): DriftFlag {
  if (psi === null) {
    return "too-few";
  }
  return psi >= 0.25 ? "drifted" : psi >= 0.1 ? "watch" : "stable";
}

interface Given {
  readonly name: string;
  readonly psis: readonly [number | null, number | null];
}

/** Two bins, and the two weeks of the report. */
export function aStatistic({ name, psis }: Given): DriftStatistic {
  return {
    name,
    kind: "number",
    about: "score",
    flag: flagOf(psis[0]),
    psi: psis[0],
    bins: [
      { label: "below 0.5", low: null, high: 0.5, share: 0.5 },
      { label: "0.5 and above", low: 0.5, high: null, share: 0.5 },
    ],
    weeks: WEEKS.map((week, index) => ({
      week,
      images: 300,
      psi: psis[index] ?? null,
      flag: flagOf(psis[index] ?? null),
      shares: [0.2, 0.8],
    })),
  };
}

/** The week before the current one is compared. */
export function aReport(statistics: readonly DriftStatistic[]): DriftReport {
  const model = { name: "classifier", version: "1", sha256: SHA };
  return {
    summary: "1 of 3 distributions has drifted in week 2026-W46.",
    compared_week: "2026-W46",
    reference: {
      name: "ood--classifier",
      created_at: "2026-01-01T00:00:00Z",
      ood: { ...model, name: "ood" },
      classifier: model,
      images: 1823,
      patients: 1200,
      split: "validation",
    },
    rules: { watch: 0.1, drifted: 0.25, min_images: 300 },
    weeks: WEEKS.map((week, index) => ({
      week,
      starts_on: `2026-11-${index === 0 ? "09" : "16"}`,
      images: 320,
      compared: 310,
      refused: 5,
      other_models: 10,
    })),
    statistics: [...statistics],
  };
}
