/** How the open study is looked at. Nothing here changes the result. */

import type { Finding, Region } from "../api/schema";
import type { View } from "../domain/geometry";
import { clamp } from "../domain/geometry";
import {
  clampWindowLevel,
  dragWindowLevel,
  FULL_WINDOW,
  type WindowLevel,
} from "../domain/windowLevel";

export type DragTool = "pan" | "window";

export interface ViewerState {
  /** Null while the image is fitted, so that it stays so when the window changes its size. */
  readonly view: View | null;
  readonly tool: DragTool;
  readonly windowLevel: WindowLevel;
  readonly inverted: boolean;
  readonly boxesShown: boolean;
  readonly hidden: ReadonlySet<Region>;
  /** Position in the study's `boxes` of the box that is pointed out. */
  readonly selectedBox: number | null;
  readonly heatmap: Finding | null;
  readonly heatmapOpacity: number;
}

export const INITIAL_VIEWER: ViewerState = {
  view: null,
  tool: "pan",
  windowLevel: FULL_WINDOW,
  inverted: false,
  boxesShown: true,
  hidden: new Set(),
  selectedBox: null,
  heatmap: null,
  heatmapOpacity: 0.5,
};

export type ViewerAction =
  | { readonly type: "studyChanged" }
  | { readonly type: "fitted" }
  // A function of the view, because several moves may come between two renderings.
  | { readonly type: "viewMoved"; readonly move: (view: View | null) => View }
  | { readonly type: "toolSet"; readonly tool: DragTool }
  | { readonly type: "windowSet"; readonly windowLevel: WindowLevel }
  | { readonly type: "windowDragged"; readonly dxPx: number; readonly dyPx: number }
  | { readonly type: "invertToggled" }
  | { readonly type: "greysReset" }
  | { readonly type: "boxesToggled" }
  | { readonly type: "findingToggled"; readonly finding: Region }
  | { readonly type: "boxSelected"; readonly index: number | null }
  | { readonly type: "heatmapSet"; readonly finding: Finding | null }
  | { readonly type: "opacitySet"; readonly opacity: number };

export function viewerReducer(state: ViewerState, action: ViewerAction): ViewerState {
  switch (action.type) {
    case "studyChanged":
      // The tool and the opacity are a person's habit; the rest belongs to one image.
      return { ...INITIAL_VIEWER, tool: state.tool, heatmapOpacity: state.heatmapOpacity };
    case "fitted":
      return { ...state, view: null };
    case "viewMoved":
      return { ...state, view: action.move(state.view) };
    case "toolSet":
      return { ...state, tool: action.tool };
    case "windowSet":
      return { ...state, windowLevel: clampWindowLevel(action.windowLevel) };
    case "windowDragged":
      return {
        ...state,
        windowLevel: dragWindowLevel(state.windowLevel, action.dxPx, action.dyPx),
      };
    case "invertToggled":
      return { ...state, inverted: !state.inverted };
    case "greysReset":
      return { ...state, windowLevel: FULL_WINDOW, inverted: false };
    case "boxesToggled":
      return { ...state, boxesShown: !state.boxesShown };
    case "findingToggled":
      return { ...state, hidden: toggled(state.hidden, action.finding) };
    case "boxSelected":
      return { ...state, selectedBox: action.index };
    case "heatmapSet":
      return { ...state, heatmap: action.finding };
    case "opacitySet":
      return { ...state, heatmapOpacity: clamp(action.opacity, 0, 1) };
  }
}

export function isBoxVisible(state: ViewerState, finding: Region): boolean {
  return state.boxesShown && !state.hidden.has(finding);
}

/** The heat map that comes after the one shown: none, then each in turn, then none again. */
export function nextHeatmap(heatmaps: readonly Finding[], shown: Finding | null): Finding | null {
  const index = shown === null ? -1 : heatmaps.indexOf(shown);
  return heatmaps[index + 1] ?? null;
}

function toggled(hidden: ReadonlySet<Region>, finding: Region): ReadonlySet<Region> {
  const next = new Set(hidden);
  if (!next.delete(finding)) {
    next.add(finding);
  }
  return next;
}
