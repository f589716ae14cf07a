import { describe, expect, it } from "vitest";

import { aReport, aStatistic } from "../test/drift";
import { binsSentence, firstShown, ordered, psiPosition, psiText, statisticName, weekOf, weeksSentence } from "./drift";

describe("a PSI", () => {
  it("stands in its chart up to its whole height, and no higher", () => {
    expect([null, 0, 0.25, 0.5, 7].map(psiPosition)).toEqual([0, 0, 0.5, 1, 1]);
  });

  it("that is not known is a dash", () => {
    expect([psiText(0.123), psiText(null)]).toEqual(["0.123", "–"]);
  });
});

it("an abbreviated statistic is spelled out", () => {
  expect([statisticName("ood_score"), statisticName("mean_grey")]).toEqual(["Out-of-distribution score", "Mean grey"]);
});

describe("the statistics", () => {
  const steady = aStatistic({ name: "width", psis: [0.01, 0.3] });
  const drifted = aStatistic({ name: "Mass", psis: [0.4, 0.02] });
  const unknown = aStatistic({ name: "Edema", psis: [null, null] });
  const report = aReport([unknown, steady, drifted]);

  it("stand drifted first, by the week that is looked at", () => {
    const names = (week: string): string[] => ordered(report, week).map(({ name }) => name);
    expect(names("2026-W46")).toEqual(["Mass", "width", "Edema"]);
    expect(names("2026-W47")).toEqual(["width", "Mass", "Edema"]);
  });

  it("are of the compared week at first, or of the current one", () => {
    expect(firstShown(report)).toBe("2026-W46");
    expect(firstShown({ ...report, compared_week: null })).toBe("2026-W47");
    expect(weekOf(drifted, "2020-W01")).toBeNull();
  });

  it("say in words what the charts draw", () => {
    expect(weeksSentence(drifted)).toBe("Mass, PSI by week: 2026-W46 0.400, 2026-W47 0.020");
    expect(weeksSentence(unknown)).toBe("Edema: no week has enough images");
    const words = binsSentence(drifted, weekOf(drifted, "2026-W46"));
    expect(words).toBe(
      "Mass. below 0.5: reference 50.0%, week 20.0%; 0.5 and above: reference 50.0%, week 80.0%",
    );
    expect(binsSentence(drifted, null)).not.toContain("week");
  });
});
