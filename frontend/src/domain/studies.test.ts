import { describe, expect, it } from "vitest";

import { aStudy, EFFUSION, EFFUSION_BOX, HERNIA, NODULE } from "../test/studies";
import { isFiltering, NO_FILTER, withPriority, withStatus } from "./filters";
import { barPosition, sortFindings } from "./findings";
import { groupBoxes } from "./regions";
import { canRerun, personName, studyTitle } from "./studies";

describe("the filter of the list", () => {
  it("asks for nothing at first", () => {
    expect(isFiltering(NO_FILTER)).toBe(false);
    expect(isFiltering(withPriority(NO_FILTER, "urgent"))).toBe(true);
  });

  it.each(["failed", "rejected"] as const)("a priority and %s exclude each other", (status) => {
    expect(withPriority({ ...NO_FILTER, status }, "soon")).toEqual({ ...NO_FILTER, priority: "soon" });
    expect(withStatus({ ...NO_FILTER, priority: "soon" }, status)).toEqual({ ...NO_FILTER, status });
  });

  it("a priority and a partial result do not", () => {
    expect(withStatus({ ...NO_FILTER, priority: "soon" }, "partial").priority).toBe("soon");
    expect(withPriority({ ...NO_FILTER, priority: "soon", status: "rejected" }, null).status).toBe("rejected");
  });
});

describe("the order of findings", () => {
  const all = [HERNIA, NODULE, EFFUSION];

  it.each([
    ["level", ["Effusion", "Hernia", "Nodule"]],
    ["probability", ["Effusion", "Nodule", "Hernia"]],
    ["name", ["Effusion", "Hernia", "Nodule"]],
  ] as const)("by %s", (order, names) => {
    expect(sortFindings(all, order).map(({ finding }) => finding)).toEqual(names);
    expect(all[0]).toBe(HERNIA);
  });

  it("a bar keeps the order and stays within its frame", () => {
    expect([-1, 0, 0.01, 0.25, 1, 2].map(barPosition)).toEqual([0, 0, 0.1, 0.5, 1, 1]);
  });
});

it("boxes are grouped by kind, the most certain kind first", () => {
  const mass = { ...EFFUSION_BOX, finding: "Mass" as const, score: 0.7 };
  const faint = { ...EFFUSION_BOX, score: 0.3 };
  expect(groupBoxes([EFFUSION_BOX, mass, faint])).toEqual([
    { finding: "Mass", count: 1, bestScore: 0.7, indices: [1] },
    { finding: "Effusion", count: 2, bestScore: 0.66, indices: [0, 2] },
  ]);
});

it("without calibration the detector's own scores rank the kinds", () => {
  const effusion = { ...EFFUSION_BOX, score: 0.81 };
  const mass = { ...effusion, finding: "Mass" as const, score: 0.9 };
  expect(groupBoxes([effusion, mass]).map(({ finding, bestScore }) => [finding, bestScore])).toEqual([
    ["Mass", 0.9],
    ["Effusion", 0.81],
  ]);
});

describe("what a study is called", () => {
  it.each([
    ["Roe^Jane^M", "Roe, Jane M"],
    ["Roe", "Roe"],
    ["^Jane", "Jane"],
    ["Yamada^Tarou=山田^太郎", "Yamada, Tarou"],
    [" ^ ", null],
    [null, null],
  ])("%s is read as %s", (name, expected) => {
    expect(personName(name)).toBe(expected);
  });

  it("the patient, else the file, else its number", () => {
    const study = aStudy();
    expect(studyTitle({ ...study, patient: { ...study.patient, patient_id: "9RG1" } })).toBe("9RG1");
    expect(studyTitle(study)).toBe("radiograph.png");
    expect(studyTitle({ ...study, file_name: null })).toBe("Study jy7j5a");
  });
});

it("only an incomplete result can be asked for again", () => {
  const statuses = ["complete", "partial", "failed", "rejected"] as const;
  expect(statuses.filter((status) => canRerun(aStudy({ status })))).toEqual(["partial", "failed"]);
});
