import { expect, it } from "vitest";

import type { Review, ReviewEntry } from "../api/schema";
import { aStudy } from "../test/studies";
import { boxTarget, changeOf, cornersBetween, draftOf, marksOf, newEntryId, ownVerdict, saidText } from "./review";

const STUDY = aStudy();
const [FIRST] = STUDY.boxes;
if (FIRST === undefined) {
  throw new Error("a study with a box");
}
const BOX = boxTarget(0, FIRST);
const DRAFT = draftOf(BOX, STUDY);
const ADDED = { kind: "added" } as const;
const PLACE = { x_min: 1, y_min: 2, x_max: 30, y_max: 40 };

function anEntry(id: string, change: Partial<ReviewEntry> = {}): ReviewEntry {
  return {
    ...{ id, revision: 1, verdict: "accepted", target: BOX, label: FIRST?.finding ?? "Mass", corners: null },
    ...{ shown_level: null, shown_value: 0.6, model: null, comment: "", by: "a.reader", mine: true },
    ...{ at: "2026-11-03T14:03:00Z", withdrawn_at: null, counts: true },
    ...change,
  };
}

it("a form says a change only where something is changed", () => {
  expect(changeOf(BOX, DRAFT, STUDY, 1)).toMatch(/^Nothing is changed/u);
  expect(changeOf(BOX, { ...DRAFT, label: "Nodule" }, STUDY, 3)).toEqual({
    ...{ revision: 3, verdict: "modified", target: BOX, label: "Nodule", corners: null, comment: "" },
  });
  expect(changeOf(BOX, { ...DRAFT, corners: PLACE }, STUDY, 1)).toMatchObject({ verdict: "modified", corners: PLACE, label: null });
  expect(changeOf(BOX, { ...DRAFT, comment: " hm " }, STUDY, 1)).toMatchObject({ verdict: "commented", comment: "hm" });
  expect(changeOf(ADDED, { label: "Fracture", corners: null, comment: "" }, STUDY, 1)).toMatchObject({ verdict: "added", label: "Fracture" });
  expect(changeOf(ADDED, { label: "", corners: null, comment: "" }, STUDY, 1)).toMatch(/^Choose/u);
});

it.each([
  [{ ...PLACE, x_max: 1 }, /no area/u],
  [{ ...PLACE, y_max: 1 }, /no area/u],
  [{ ...PLACE, x_max: 1e6 }, /outside/u],
  [{ ...PLACE, x_min: Number.NaN }, /four numbers/u],
  [{ ...PLACE, x_min: -4 }, /four numbers/u],
])("a box that is none is refused in place", (corners, sentence) => {
  expect(changeOf(ADDED, { label: "Mass", corners, comment: "" }, STUDY, 1)).toMatch(sentence);
});

it("a hundred thousand characters are refused in place, and counted", () => {
  const said = changeOf(ADDED, { label: "Mass", corners: null, comment: "x".repeat(100_000) }, STUDY, 1);
  expect(said).toBe("The comment has 100000 characters; at most 4000 are kept.");
});

it("a drawn box is cut to the image, wherever it began", () => {
  const image = { width: 100, height: 80 };
  expect(cornersBetween({ x: 120, y: 10.4 }, { x: -5, y: 50.6 }, image)).toEqual({ x_min: 0, y_min: 10, x_max: 100, y_max: 51 });
});

it("what is on its way takes the place of what it replaces, and what is taken back is gone", () => {
  const review: Review = {
    ...{ study_id: STUDY.id, revision: 1 },
    entries: [anEntry("1"), anEntry("2", { mine: false, by: "b.reader", verdict: "rejected" }), anEntry("3", { counts: false })],
  };
  const change = { revision: 1, verdict: "rejected", target: BOX, comment: "" } as const;
  const waiting = { studyId: STUDY.id, entryId: "4", change, refusal: null };
  const marks = marksOf(review, [waiting]);
  expect(marks.map(({ id, state }) => [id, state])).toEqual([["2", "kept"], ["4", "waiting"]]);
  expect(ownVerdict(marks, BOX)).toBe("rejected");
  const refused = { ...waiting, refusal: { title: "Conflict", detail: "Again." } };
  expect(ownVerdict(marksOf(review, [refused]), BOX)).toBe("accepted");
  const back = { studyId: STUDY.id, entryId: "1", change: null, refusal: null };
  expect(ownVerdict(marksOf(review, [back]), BOX)).toBeNull();
});

it("says in words what was said", () => {
  expect(saidText({ verdict: "modified", target: BOX, label: "Nodule" })).toBe("Changed: effusion region 1, now nodule");
  expect(saidText({ verdict: "accepted", target: { kind: "finding", finding: "Mass" }, label: "Mass" })).toBe("Accepted: mass");
  expect(saidText({ verdict: "added", target: null, label: "Pleural_Thickening" })).toBe("Added: pleural thickening");
  expect(saidText({ verdict: "commented", target: null, label: null })).toBe("Comment on the study");
});

it("ids are random UUIDs, also without a secure context", () => {
  expect(newEntryId()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u);
  expect(newEntryId()).not.toBe(newEntryId());
});
