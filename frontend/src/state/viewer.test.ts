import { describe, expect, it } from "vitest";

import { FULL_WINDOW } from "../domain/windowLevel";
import { INITIAL_VIEWER, isBoxVisible, nextHeatmap, viewerReducer, type ViewerAction } from "./viewer";

function after(...actions: ViewerAction[]): typeof INITIAL_VIEWER {
  return actions.reduce(viewerReducer, INITIAL_VIEWER);
}

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
      { type: "studyChanged" },
    );
    expect(state).toEqual({ ...INITIAL_VIEWER, tool: "window", heatmapOpacity: 0.3 });
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
    expect(isBoxVisible(hidden, "Mass")).toBe(false);
    expect(isBoxVisible(hidden, "Nodule")).toBe(true);
    expect(isBoxVisible(viewerReducer(hidden, { type: "findingToggled", finding: "Mass" }), "Mass")).toBe(true);
    expect(isBoxVisible(after({ type: "boxesToggled" }), "Nodule")).toBe(false);
  });

  it("opacity stays between nothing and all", () => {
    expect(after({ type: "opacitySet", opacity: 1.1 }).heatmapOpacity).toBe(1);
    expect(after({ type: "opacitySet", opacity: -0.1 }).heatmapOpacity).toBe(0);
  });
});

it("heat maps come one after another, then none", () => {
  expect(nextHeatmap(["Mass", "Nodule"], null)).toBe("Mass");
  expect(nextHeatmap(["Mass", "Nodule"], "Mass")).toBe("Nodule");
  expect(nextHeatmap(["Mass", "Nodule"], "Nodule")).toBeNull();
  expect(nextHeatmap([], null)).toBeNull();
});
