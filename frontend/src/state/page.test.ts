import { describe, expect, it } from "vitest";

import { ApiError } from "../api/errors";
import { aStudy } from "../test/studies";
import { commandOf, SHORTCUTS } from "./shortcuts";
import { isUnknown, pathOf, studyIdOf } from "./useRoute";
import { studyReducer } from "./useStudy";
import { unreadText } from "./useUnread";

const PLAIN = { ctrlKey: false, metaKey: false, altKey: false };

describe("shortcuts", () => {
  it("no key does two things", () => {
    const keys = SHORTCUTS.flatMap((shortcut) => shortcut.keys);
    expect(new Set(keys).size).toBe(keys.length);
  });

  it("letters work with and without Shift, combinations belong to the browser", () => {
    expect(commandOf({ ...PLAIN, key: "I" })).toBe("invert");
    expect(commandOf({ ...PLAIN, key: "=" })).toBe("zoomIn");
    expect(commandOf({ ...PLAIN, key: "r", ctrlKey: true })).toBeNull();
    expect(commandOf({ ...PLAIN, key: "Escape" })).toBeNull();
  });
});

describe("addresses", () => {
  it("a study's address names it", () => {
    expect(studyIdOf(pathOf("01m83akp78m9e4ygq5dfjy7j5a"))).toBe("01m83akp78m9e4ygq5dfjy7j5a");
    expect(pathOf(null)).toBe("/");
  });

  it.each(["/", "/studies/", "/studies/../etc", "/studies/a/b", "/studies/%2e", "/other"])(
    "%s is no study",
    (path) => expect(studyIdOf(path)).toBeNull(),
  );

  it("an address that the page does not have is known as such", () => {
    expect(["/studies/", "/other", "/drift/x"].map(isUnknown)).toEqual([true, true, true]);
    expect(["/", "/drift", "/agreement", pathOf("01m83akp78m9e4ygq5dfjy7j5a")].some(isUnknown)).toBe(false);
  });
});

it("the title counts what is urgent and new", () => {
  expect([0, 3, 100].map(unreadText)).toEqual([null, "(3)", "(100)"]);
});

describe("the open study", () => {
  const EMPTY = { known: new Map(), errors: new Map(), rerunning: new Set<string>() };
  const study = aStudy({ status: "partial" });

  it("stays in sight when analysing it again fails, without a spinner that never ends", () => {
    const heard = studyReducer(EMPTY, { type: "heard", study });
    const rerunning = studyReducer(heard, { type: "rerunning", id: study.id });
    expect(rerunning.rerunning.has(study.id)).toBe(true);
    const error = new ApiError(503, "Unavailable", "Both models are unavailable.");
    const failed = studyReducer(rerunning, { type: "failed", id: study.id, error });
    expect(failed.rerunning.size).toBe(0);
    expect(failed.known.get(study.id)).toBe(study);
    expect(failed.errors.get(study.id)).toBe(error);
    expect(studyReducer(failed, { type: "heard", study }).errors.size).toBe(0);
  });

  it("a night's studies do not fill the memory, and the latest stay", () => {
    const after = Array.from({ length: 300 }, (_, i) => aStudy({ id: `s${i}` })).reduce<Parameters<typeof studyReducer>[0]>(
      (state, heard) => studyReducer(state, { type: "heard", study: heard }),
      EMPTY,
    );
    expect(after.known.size).toBeLessThan(100);
    expect(after.known.has("s299")).toBe(true);
  });
});
