import { expect, it } from "vitest";

import { aStudy, aSummary } from "../test/studies";
import { fitView } from "./geometry";
import { firstPrior, linkedView, priorsOf, whenText } from "./priors";

const { patient } = aStudy();
const of = (patient_id: string | null, study_date: string | null = null, issuer_of_patient_id: string | null = null) => ({
  patient: { ...patient, patient_id, issuer_of_patient_id, study_date },
});

it("earlier images are those of the same patient ID, the latest first", () => {
  const listed = [
    aSummary("old", of("4711", "2019-01-01")),
    aSummary("other", of("4712", "2025-01-01")),
    aSummary("new", of("4711", "2025-01-01")),
    aSummary("leg", { ...of("4711"), status: "rejected" }),
    aSummary("self", of("4711")),
  ];
  const found = (study: ReturnType<typeof aStudy>) => priorsOf(study, listed).map(({ id }) => id);
  expect(found(aStudy({ id: "self", ...of("4711") }))).toEqual(["new", "old"]);
  expect(found(aStudy({ id: "self" }))).toEqual([]);
});

it("the same number of another issuer is another patient", () => {
  const listed = [
    aSummary("north", of("4711", "2020-01-01", "NORTH")),
    aSummary("south", of("4711", "2021-01-01", "SOUTH")),
    aSummary("nobody", of("4711", "2022-01-01")),
  ];
  const found = (issuer: string | null) =>
    priorsOf(aStudy({ id: "self", ...of("4711", null, issuer) }), listed).map(({ id }) => id);
  expect(found("NORTH")).toEqual(["north"]);
  expect(found(null)).toEqual(["nobody"]);
});

it("only what was taken before is called earlier, and nothing later is laid there unasked", () => {
  const study = aStudy({ id: "self", ...of("4711", "2024-05-01") });
  const said = (date: string | null) => whenText(study, aSummary("x", of("4711", date)));
  expect(["2024-04-30", "2024-05-01", "2024-05-02"].map(said)).toEqual([
    "Earlier: 30 Apr 2024",
    "Same day: 1 May 2024",
    "Later: 2 May 2024",
  ]);
  expect(said(null)).toBe("Order unknown: date unknown");
  const [later, before] = [aSummary("later", of("4711", "2025-01-01")), aSummary("before", of("4711", "2020-01-01"))];
  expect(firstPrior(study, [later, before])?.id).toBe("before");
  expect(firstPrior(study, [later])).toBeNull();
});

it("two images of other sizes show the same part", () => {
  const frame = { width: 500, height: 500 };
  const [large, small] = [{ width: 2000, height: 2000 }, { width: 1000, height: 1000 }];
  expect(linkedView(fitView(large, frame), large, small)).toEqual(fitView(small, frame));
});
