/** How the open study is looked at. Nothing here changes the result. */

import type { Box, Corners, Finding, Region, StoredGreys, Study, StudySummary } from "../api/schema";
import type { Look } from "../api/urls";
import type { Line, View } from "../domain/geometry";
import { type RatioLines, withLine } from "../domain/measuring";
import { clamp } from "../domain/geometry";
import { flipped, isUpright, type Turn, turnedOn, UPRIGHT } from "../domain/turn";
import type { Preset } from "../domain/presets";
import type { Editing } from "../domain/review";
import { causeBox, firstMap } from "../domain/triage";
import {
  clampWindowLevel,
  dragWindowLevel,
  FULL_WINDOW,
  type GreyRange,
  isFullWindow,
  RENDERED_RANGE,
  storedEnds,
  type WindowLevel,
} from "../domain/windowLevel";

export type DragTool = "pan" | "window" | "ruler" | "angle" | "draw";

export interface ViewerState {
  readonly studyId: string | null;
  /** Null while the image is fitted, so that it stays so when the window changes its size. */
  readonly view: View | null;
  readonly turn: Turn;
  readonly tool: DragTool;
  readonly windowLevel: WindowLevel;
  /** In which it may be set. */
  readonly range: GreyRange;
  /** By which the window was set; null once it was changed by hand. */
  readonly preset: Preset | null;
  readonly inverted: boolean;
  /** In pixels of the image. */
  readonly ruler: Line | null;
  /** None, one or two lines, likewise. */
  readonly angle: readonly Line[];
  /** The lines of the cardiothoracic ratio, likewise; null while it is not measured. */
  readonly ratio: RatioLines | null;
  /** Whether a lens follows the pointer. */
  readonly magnified: boolean;
  /** Whether earlier images of the patient are looked for, and the one beside the current image. */
  readonly priorsShown: boolean;
  readonly prior: StudySummary | null;
  /** Whether names stand on the image. */
  readonly cornersShown: boolean;
  readonly boxesShown: boolean;
  /** Whether boxes and map lie over an image from the start; words come first otherwise. */
  readonly overlayFirst: boolean;
  readonly hidden: ReadonlySet<Region>;
  /** Boxes of a lower score are not drawn. */
  readonly leastScore: number;
  /** Position in the study's `boxes`; undefined while nobody chose, and then the cause decides. */
  readonly selectedBox: number | null | undefined;
  readonly heatmap: Finding | undefined;
  readonly heatmapShown: boolean | undefined;
  readonly heatmapOpacity: number;
  /** What is being written about, and the box that was drawn for it, in pixels of the image. */
  readonly editing: Editing | null;
  readonly drawn: Corners | null;
}

export const INITIAL_VIEWER: ViewerState = {
  studyId: null,
  view: null,
  turn: UPRIGHT,
  tool: "pan",
  windowLevel: FULL_WINDOW,
  range: RENDERED_RANGE,
  preset: null,
  inverted: false,
  ruler: null,
  angle: [],
  ratio: null,
  magnified: false,
  priorsShown: false,
  prior: null,
  cornersShown: true,
  boxesShown: false,
  overlayFirst: false,
  hidden: new Set(),
  leastScore: 0,
  selectedBox: undefined,
  heatmap: undefined,
  heatmapShown: undefined,
  heatmapOpacity: 0.5,
  editing: null,
  drawn: null,
};

/** What moves with the pointer. */
type Moving = "view" | "windowLevel" | "preset" | "range" | "ruler" | "angle" | "ratio";

/** All but that: what the panels beside the image go by. */
export type SettledState = Omit<ViewerState, Moving>;

/** Whether two states differ in nothing but what moves with the pointer. */
export function isSettled(before: SettledState, now: SettledState): boolean {
  return SETTLED.every((key) => Object.is(before[key], now[key]));
}

const MOVING: ReadonlySet<string> = new Set<Moving>(["view", "windowLevel", "preset", "range", "ruler", "angle", "ratio"]);
const SETTLED = Object.keys(INITIAL_VIEWER).filter((key): key is keyof SettledState => !MOVING.has(key));

export type ViewerAction =
  | { readonly type: "studyChanged"; readonly studyId: string | null; readonly overlayFirst: boolean }
  | { readonly type: "fitted" }
  // A function of the view, because several moves may come between two renderings.
  | { readonly type: "viewMoved"; readonly move: (view: View | null) => View }
  | { readonly type: "turned" }
  | { readonly type: "flipped" }
  | { readonly type: "toolSet"; readonly tool: DragTool }
  | { readonly type: "windowSet"; readonly windowLevel: WindowLevel }
  | { readonly type: "windowDragged"; readonly dxPx: number; readonly dyPx: number }
  | {
      readonly type: "presetSet";
      readonly preset: Preset;
      readonly windowLevel: WindowLevel;
      /** Whose greys it fits. */
      readonly studyId: string;
    }
  | { readonly type: "rangeKnown"; readonly studyId: string; readonly range: GreyRange }
  | { readonly type: "measured"; readonly line: Line }
  | { readonly type: "ratioSet"; readonly ratio: RatioLines | null }
  | { readonly type: "measuresCleared" }
  | { readonly type: "magnifierToggled" }
  | { readonly type: "priorsToggled" }
  | { readonly type: "priorSet"; readonly prior: StudySummary | null }
  | { readonly type: "cornersToggled" }
  | { readonly type: "invertToggled" }
  | { readonly type: "greysReset" }
  | { readonly type: "boxesToggled" }
  | { readonly type: "findingToggled"; readonly finding: Region }
  | { readonly type: "leastScoreSet"; readonly score: number }
  | { readonly type: "boxSelected"; readonly index: number | null }
  | { readonly type: "heatmapSet"; readonly finding: Finding }
  | { readonly type: "heatmapShown"; readonly shown: boolean }
  | { readonly type: "opacitySet"; readonly opacity: number }
  | { readonly type: "editingSet"; readonly editing: Editing | null }
  | { readonly type: "drawingSet"; readonly drawing: boolean }
  | { readonly type: "drawn"; readonly corners: Corners };

export function viewerReducer(state: ViewerState, action: ViewerAction): ViewerState {
  switch (action.type) {
    case "studyChanged":
      // These are a person's habits; the rest belongs to one image.
      return {
        ...INITIAL_VIEWER,
        studyId: action.studyId,
        overlayFirst: action.overlayFirst,
        boxesShown: action.overlayFirst,
        tool: state.tool === "draw" ? "pan" : state.tool,
        cornersShown: state.cornersShown,
        heatmapOpacity: state.heatmapOpacity,
        magnified: state.magnified,
      };
    case "fitted":
      return { ...state, view: null };
    case "viewMoved":
      return { ...state, view: action.move(state.view) };
    // The whole image again: what was looked at lies elsewhere now.
    case "turned":
      return { ...state, turn: turnedOn(state.turn), view: null };
    case "flipped":
      return { ...state, turn: flipped(state.turn), view: null };
    case "toolSet":
      return { ...state, tool: action.tool };
    case "windowSet":
      return { ...state, windowLevel: clampWindowLevel(action.windowLevel, state.range), preset: null };
    case "presetSet":
      // It was asked for a moment ago, and perhaps of another image.
      return action.studyId === state.studyId
        ? { ...state, windowLevel: clampWindowLevel(action.windowLevel, state.range), preset: action.preset }
        : state;
    case "measured":
      return state.tool === "angle"
        ? { ...state, angle: withLine(state.angle, action.line) }
        : { ...state, ruler: action.line };
    case "rangeKnown":
      return action.studyId === state.studyId ? { ...state, range: action.range } : state;
    case "ratioSet":
      return { ...state, ratio: action.ratio };
    case "measuresCleared":
      return { ...state, ruler: null, angle: [], ratio: null };
    case "magnifierToggled":
      return { ...state, magnified: !state.magnified };
    case "priorsToggled":
      return { ...state, priorsShown: !state.priorsShown, prior: null };
    case "priorSet":
      return { ...state, prior: action.prior };
    case "cornersToggled":
      return { ...state, cornersShown: !state.cornersShown };
    case "windowDragged":
      return {
        ...state,
        windowLevel: dragWindowLevel(state.windowLevel, action.dxPx, action.dyPx, state.range),
        preset: null,
      };
    case "invertToggled":
      return { ...state, inverted: !state.inverted };
    case "greysReset":
      return { ...state, windowLevel: FULL_WINDOW, preset: null, inverted: false };
    case "boxesToggled":
      return { ...state, boxesShown: !state.boxesShown };
    case "findingToggled":
      return { ...state, hidden: toggled(state.hidden, action.finding) };
    case "leastScoreSet":
      return { ...state, leastScore: clamp(action.score, 0, 1) };
    case "boxSelected":
      // Whoever points one out wants to see it.
      return { ...state, selectedBox: action.index, boxesShown: state.boxesShown || action.index !== null };
    case "heatmapSet":
      return { ...state, heatmap: action.finding, heatmapShown: true };
    case "heatmapShown":
      return { ...state, heatmapShown: action.shown };
    case "opacitySet":
      return { ...state, heatmapOpacity: clamp(action.opacity, 0, 1) };
    case "editingSet":
      return {
        ...state,
        editing: action.editing,
        drawn: null,
        boxesShown: state.boxesShown || action.editing !== null,
        tool: state.tool === "draw" ? "pan" : state.tool,
      };
    case "drawingSet":
      return { ...state, tool: action.drawing ? "draw" : "pan" };
    case "drawn":
      return state.editing === null ? state : { ...state, drawn: action.corners };
  }
}

export function isBoxVisible(state: Pick<ViewerState, "boxesShown" | "hidden" | "leastScore">, box: Pick<Box, "finding" | "score">): boolean {
  return state.boxesShown && isBoxWanted(state, box);
}

/** Whether a box is drawn while boxes are. */
export function isBoxWanted(state: Pick<ViewerState, "hidden" | "leastScore">, { finding, score }: Pick<Box, "finding" | "score">): boolean {
  return !state.hidden.has(finding) && score >= state.leastScore;
}

/** What is pointed out and laid over the image. */
export interface Shown {
  readonly selectedBox: number | null;
  /** Chosen, whether it is laid over the image or not; null where the study has no map. */
  readonly heatmap: Finding | null;
  readonly heatmapShown: boolean;
}

/**
 * A person's choice, or else what the cause of the priority suggests: its box, and its map.
 *
 * A map that is no evidence is laid over the image only when somebody asks for it, and so is any
 * where words come first.
 */
export function shownOf(state: ViewerState, study: Study | null, mapsAreEvidence: boolean): Shown {
  if (study === null) {
    return { selectedBox: null, heatmap: null, heatmapShown: false };
  }
  const heatmap = state.heatmap ?? firstMap(study);
  const fromCause = state.overlayFirst && mapsAreEvidence && study.triage?.cause?.finding === heatmap;
  return {
    selectedBox: state.selectedBox === undefined ? (causeBox(study)?.index ?? null) : state.selectedBox,
    heatmap,
    heatmapShown: heatmap !== null && (state.heatmapShown ?? fromCause),
  };
}

/** What is to be saved: the image as it is looked at. */
export function lookOf(state: ViewerState, shown: Shown, greys: StoredGreys | null): Look {
  const windowed = greys !== null && !isFullWindow(state.windowLevel);
  return {
    ...(windowed && storedEnds(state.windowLevel, greys)),
    ...(state.inverted && { inverted: true }),
    ...(!isUpright(state.turn) && { mirrored: state.turn.mirrored, turned: 90 * state.turn.quarters }),
    ...(state.cornersShown && { identifiers: true }),
    ...(!state.boxesShown && { boxes: false }),
    ...(state.leastScore > 0 && { least_score: state.leastScore }),
    ...(state.hidden.size > 0 && { hide: [...state.hidden] }),
    ...(shown.heatmapShown && shown.heatmap !== null && { heatmap: shown.heatmap, opacity: state.heatmapOpacity }),
  };
}

/** The map after or before the one chosen; round and round. */
export function stepHeatmap(heatmaps: readonly Finding[], chosen: Finding | null, by: 1 | -1): Finding | null {
  const index = chosen === null ? -1 : heatmaps.indexOf(chosen);
  return heatmaps.at((index + by + heatmaps.length) % Math.max(1, heatmaps.length)) ?? null;
}

function toggled(hidden: ReadonlySet<Region>, finding: Region): ReadonlySet<Region> {
  const next = new Set(hidden);
  if (!next.delete(finding)) {
    next.add(finding);
  }
  return next;
}
