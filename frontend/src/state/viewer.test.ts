import { describe, expect, it } from "vitest";

import { overlayUrl } from "../api/urls";
import { aStudy } from "../test/studies";
import { FULL_WINDOW } from "../domain/windowLevel";
import { INITIAL_VIEWER, isBoxVisible, isSettled, lookOf, shownOf, viewerReducer, type ViewerAction } from "./viewer";

/** With the regions over the image, as after `b`. */
const SHOWN = { ...INITIAL_VIEWER, overlayFirst: true, boxesShown: true };

function after(...actions: ViewerAction[]): typeof INITIAL_VIEWER {
  return actions.reduce(viewerReducer, SHOWN);
}

function opened(studyId: string, overlayFirst = true): ViewerAction {
  return { type: "studyChanged", studyId, overlayFirst };
}

const box = (finding: "Mass" | "Nodule", score = 0.4) => ({ finding, score });

describe("the viewer", () => {
  it("another study keeps a person's habits and nothing else", () => {
    const state = after(
      { type: "toolSet", tool: "window" },
      { type: "opacitySet", opacity: 0.3 },
      { type: "invertToggled" },
      { type: "findingToggled", finding: "Mass" },
      { type: "boxSelected", index: 2 },
      { type: "heatmapSet", finding: "Mass" },
      { type: "viewMoved", move: () => ({ scale: 2, offsetX: 0, offsetY: 0 }) },
      { type: "measured", line: { from: { x: 0, y: 0 }, to: { x: 3, y: 4 } } },
      { type: "cornersToggled" },
      opened("b"),
    );
    expect(state).toEqual({ ...SHOWN, studyId: "b", cornersShown: false, tool: "window", heatmapOpacity: 0.3 });
  });

  it("words come first: boxes and map lie over an image when they are asked for, or by choice", () => {
    const study = aStudy();
    const first = viewerReducer(INITIAL_VIEWER, opened("a", false));
    expect(isBoxVisible(first, box("Nodule"))).toBe(false);
    expect(shownOf(first, study, true).heatmapShown).toBe(false);
    const asked: ViewerAction[] = [
      { type: "boxesToggled" },
      { type: "boxSelected", index: 0 },
      { type: "editingSet", editing: { kind: "added" } },
    ];
    asked.forEach((action) => expect(isBoxVisible(viewerReducer(first, action), box("Nodule"))).toBe(true));
    // What was asked for of one image is not asked for of the next.
    expect(viewerReducer(after({ type: "boxesToggled" }), opened("b", false)).boxesShown).toBe(false);
    const chosen = viewerReducer(INITIAL_VIEWER, opened("a"));
    expect(isBoxVisible(chosen, box("Nodule"))).toBe(true);
    expect(shownOf(chosen, study, true).heatmapShown).toBe(true);
  });

  it("what moves with the pointer changes nothing that the panels beside the image go by; all else does", () => {
    const before = after(opened("a"));
    const moving: ViewerAction[] = [
      { type: "viewMoved", move: () => ({ scale: 2, offsetX: 0, offsetY: 0 }) },
      { type: "windowDragged", dxPx: 5, dyPx: 7 },
      { type: "measured", line: { from: { x: 0, y: 0 }, to: { x: 3, y: 4 } } },
    ];
    moving.forEach((action) => {
      const now = viewerReducer(before, action);
      expect(now).not.toBe(before);
      expect(isSettled(before, now)).toBe(true);
    });
    const settling: ViewerAction[] = [
      opened("b"),
      { type: "toolSet", tool: "window" },
      { type: "boxesToggled" },
      { type: "leastScoreSet", score: 0.5 },
      { type: "drawingSet", drawing: true },
      { type: "editingSet", editing: { kind: "added" } },
      { type: "priorsToggled" },
    ];
    settling.forEach((action) => expect(isSettled(before, viewerReducer(before, action))).toBe(false));
  });

  it("several moves before a rendering add up", () => {
    const right: ViewerAction = {
      type: "viewMoved",
      move: (view) => ({ scale: 1, offsetX: (view?.offsetX ?? 0) + 5, offsetY: 0 }),
    };
    expect(after(right, right).view?.offsetX).toBe(10);
    expect(after(right, { type: "fitted" }).view).toBeNull();
  });

  it("greys stay within their limits and are reset together", () => {
    const dragged = after({ type: "windowDragged", dxPx: -1e6, dyPx: 1e6 }, { type: "invertToggled" });
    expect(dragged.windowLevel).toEqual({ window: 8, level: 255 });
    const reset = viewerReducer(dragged, { type: "greysReset" });
    expect(reset).toMatchObject({ windowLevel: FULL_WINDOW, inverted: false });
    const set = after({ type: "windowSet", windowLevel: { window: 1, level: 12 } });
    expect(set.windowLevel).toEqual({ window: 8, level: 12 });
  });

  it("a kind of box is hidden alone, and all are at once", () => {
    const hidden = after({ type: "findingToggled", finding: "Mass" });
    expect(isBoxVisible(hidden, box("Mass"))).toBe(false);
    expect(isBoxVisible(hidden, box("Nodule"))).toBe(true);
    expect(isBoxVisible(viewerReducer(hidden, { type: "findingToggled", finding: "Mass" }), box("Mass"))).toBe(true);
    expect(isBoxVisible(after({ type: "boxesToggled" }), box("Nodule"))).toBe(false);
    expect(isBoxVisible(after({ type: "leastScoreSet", score: 0.5 }), box("Nodule"))).toBe(false);
    expect(isBoxVisible(after({ type: "leastScoreSet", score: 0.4 }), box("Nodule"))).toBe(true);
  });

  it("a preset that comes too late does not touch the next image", () => {
    const windowLevel = { window: 100, level: 60 };
    const late = after(
      opened("b"),
      { type: "presetSet", preset: "lung", windowLevel, studyId: "a" },
    );
    expect(late.windowLevel).toEqual(FULL_WINDOW);
    const timely = viewerReducer(late, { type: "presetSet", preset: "lung", windowLevel, studyId: "b" });
    expect(timely).toMatchObject({ windowLevel, preset: "lung" });
    expect(viewerReducer(timely, { type: "windowDragged", dxPx: 1, dyPx: 0 }).preset).toBeNull();
  });

  it("opacity stays between nothing and all", () => {
    expect(after({ type: "opacitySet", opacity: 1.1 }).heatmapOpacity).toBe(1);
    expect(after({ type: "opacitySet", opacity: -0.1 }).heatmapOpacity).toBe(0);
  });

  it("what is saved is what is looked at", () => {
    const greys = { bits: 12, darkest: 0, brightest: 4095, black: 1000, white: 2020, spacing: null, sided: false };
    const shown = { selectedBox: null, heatmap: "Mass", heatmapShown: true } as const;
    const plain = { ...shown, heatmapShown: false };
    expect(lookOf(SHOWN, plain, greys)).toEqual({ identifiers: true });
    const nameless = after({ type: "cornersToggled" });
    expect(lookOf(nameless, plain, greys)).toEqual({});
    const state = after(
      { type: "invertToggled" },
      { type: "findingToggled", finding: "Mass" },
      { type: "leastScoreSet", score: 0.3 },
      { type: "windowSet", windowLevel: { window: 127.5, level: 127.5 } },
    );
    expect(lookOf(state, shown, greys)).toEqual({
      ...{ black: 1255, white: 1765, inverted: true, least_score: 0.3, hide: ["Mass"] },
      ...{ heatmap: "Mass", opacity: 0.5, identifiers: true },
    });
    expect(overlayUrl("a", lookOf(state, shown, greys))).toBe(
      "/api/v1/studies/a/overlay.png?black=1255&white=1765&inverted=true&identifiers=true&least_score=0.3&hide=Mass&heatmap=Mass&opacity=0.5",
    );
    expect(overlayUrl("a", {})).toBe("/api/v1/studies/a/overlay.png");
  });

  it("a turn fits the image again, is saved with it, and ends with the study", () => {
    const moved: ViewerAction = { type: "viewMoved", move: () => ({ scale: 2, offsetX: 0, offsetY: 0 }) };
    const turned = after(moved, { type: "flipped" }, { type: "turned" });
    expect(turned).toMatchObject({ view: null, turn: { quarters: 1, mirrored: true } });
    const shown = { selectedBox: null, heatmap: null, heatmapShown: false };
    expect(lookOf(turned, shown, null)).toEqual({ mirrored: true, turned: 90, identifiers: true });
    expect(overlayUrl("a", lookOf(turned, shown, null))).toBe(
      "/api/v1/studies/a/overlay.png?mirrored=true&turned=90&identifiers=true",
    );
    expect(viewerReducer(turned, opened("b")).turn).toEqual(INITIAL_VIEWER.turn);
  });

  it("the window reaches what the file holds", () => {
    const known: ViewerAction = {
      type: "rangeKnown",
      studyId: "a",
      range: { low: -200, high: 900, minWindow: 2 },
    };
    const set: ViewerAction = { type: "windowSet", windowLevel: { window: 1, level: 800 } };
    expect(after(opened("a"), known, set).windowLevel).toEqual({ window: 2, level: 800 });
    expect(after(opened("b"), known, set).windowLevel).toEqual({ window: 8, level: 255 });
  });

  it("a drag draws a distance, or one of two lines of an angle", () => {
    const drawn: ViewerAction = { type: "measured", line: { from: { x: 0, y: 0 }, to: { x: 3, y: 4 } } };
    expect(after({ type: "toolSet", tool: "ruler" }, drawn)).toMatchObject({ ruler: drawn.line, angle: [] });
    expect(after({ type: "toolSet", tool: "angle" }, drawn)).toMatchObject({ ruler: null, angle: [drawn.line] });
  });
});
