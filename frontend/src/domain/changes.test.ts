import { expect, it } from "vitest";

import { aStudy, EFFUSION, HERNIA, NODULE } from "../test/studies";
import { changesOf } from "./changes";

it("the difference is that of the numbers as they are shown", () => {
  const now = aStudy({ findings: [{ ...EFFUSION, probability: 0.424 }, { ...NODULE, probability: 0.06 }] });
  const prior = aStudy({ findings: [{ ...NODULE, probability: 0.06 }, { ...EFFUSION, probability: 0.105 }] });
  expect(changesOf(now, prior)).toEqual([
    { finding: "Effusion", before: 0.105, now: 0.424, points: 31 },
    { finding: "Nodule", before: 0.06, now: 0.06, points: 0 },
  ]);
});

it("a finding that one of the two has no answer on is not compared", () => {
  expect(changesOf(aStudy({ findings: [HERNIA] }), aStudy({ findings: [EFFUSION] }))).toEqual([]);
  expect(changesOf(aStudy(), aStudy({ findings: [] }))).toEqual([]);
});
