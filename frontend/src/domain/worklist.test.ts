import { describe, expect, it } from "vitest";

import { aStudy, aSummary } from "../test/studies";
import { filterOf, isFiltering, NO_FILTER, searchOf } from "./filters";
import { identityParts, isOverdue, minutesWaited, shortId } from "./studies";
import { continued, neighbourIn } from "./walk";

const { patient } = aStudy();
const JANE = { ...patient, name: "Roe^Jane", patient_id: "4711", birth_date: "1961-02-03", accession_number: "A-17" };

describe("the filter in the address", () => {
  it("survives being written and read", () => {
    const filter = { priority: "urgent", status: "partial", work: "new", text: "roe & co" } as const;
    expect(filterOf(searchOf(filter))).toEqual(filter);
    expect(searchOf(NO_FILTER)).toBe("");
    expect(filterOf("?priority=huge&other=1")).toEqual(NO_FILTER);
    expect(isFiltering(filterOf("?q=roe"))).toBe(true);
  });
});

describe("rows", () => {
  it("of one patient on one day can be told apart", () => {
    const ids = ["01m83akp78m9e4ygq5aaaaaa", "01m83akp78m9e4ygq5bbbbbb"];
    expect(ids.map(shortId)).toEqual(["#aaaaaa", "#bbbbbb"]);
    const patient = { ...JANE, study_date: "2026-11-03" };
    expect(identityParts(aSummary("a", { patient }))).toEqual(
      ["4711", "born 3 Feb 1961", "A-17", "PA", "taken 3 Nov 2026", "radiograph.png"],
    );
  });

  it("say how long a study has waited, once nobody opened it in time", () => {
    const now = new Date("2026-11-03T15:13:30Z");
    const waiting = aSummary("a");
    expect(minutesWaited(waiting.received_at, now)).toBe(70);
    expect(isOverdue(waiting, 60, now)).toBe(true);
    expect(isOverdue(waiting, 90, now)).toBe(false);
    expect(isOverdue(waiting, 0, now)).toBe(false);
    expect(isOverdue({ ...waiting, worklist: { state: "opened", by: "x", at: null, to: null } }, 60, now)).toBe(false);
  });
});

describe("a walk through the list", () => {
  it("goes on where it was, though the opened study moved", () => {
    expect(continued(["a", "b", "c"], ["b", "c", "a"], "a")).toEqual(["a", "b", "c"]);
  });

  it("takes newcomers on the way, and never behind the walker", () => {
    expect(continued(["a", "b", "c"], ["new", "a", "b", "c"], "b")).toEqual(["a", "b", "new", "c"]);
    expect(continued(["a", "b", "c"], ["a", "b", "new", "c"], "a")).toEqual(["a", "b", "new", "c"]);
    expect(continued(["a"], ["a", "b", "c"], "a")).toEqual(["a", "b", "c"]);
    expect(continued([], ["a", "b"], null)).toEqual(["a", "b"]);
  });

  it("stops at the ends", () => {
    expect(neighbourIn(["a", "b"], "a", 1)).toBe("b");
    expect(neighbourIn(["a", "b"], "b", 1)).toBeNull();
    expect(neighbourIn(["a", "b"], "a", -1)).toBeNull();
    expect(neighbourIn(["a", "b"], null, 1)).toBe("a");
    expect(neighbourIn([], null, 1)).toBeNull();
  });
});
