import type { Preset } from "../domain/presets";
import { firstRatio } from "../domain/measuring";
import { boxTarget } from "../domain/review";
import { canRerun } from "../domain/studies";
import type { Command } from "../state/shortcuts";
import type { Session } from "../state/useSession";
import { isBoxWanted, stepHeatmap } from "../state/viewer";
import type { PageState } from "./pageState";
import { applyPreset } from "./viewer/applyPreset";
import { ZOOM_STEP } from "./viewer/viewCommands";

const OPACITY_STEP = 0.1;

/** What each keyboard command does; those about a study do nothing while none is open. */
export function runCommand(command: Command, page: PageState): void {
  COMMANDS[command](page);
}

const COMMANDS: Record<Command, (page: PageState) => void> = {
  help: ({ panels }) => panels.setHelpShown(true),
  done: ({ session }) => finish(session),
  upload: ({ picker }) => picker.current?.click(),
  toggleList: ({ panels }) => panels.setListShown(!panels.listShown),
  search: ({ panels }) => {
    panels.setListShown(true);
    requestAnimationFrame(() => document.getElementById("study-search")?.focus());
  },
  nextStudy: ({ session }) => session.walk.step(1),
  previousStudy: ({ session }) => session.walk.step(-1),
  zoomIn: ({ commands }) => commands.current?.zoom(ZOOM_STEP),
  zoomOut: ({ commands }) => commands.current?.zoom(1 / ZOOM_STEP),
  fit: ({ commands }) => commands.current?.fit(),
  actualSize: ({ commands }) => commands.current?.actualSize(),
  invert: ({ dispatch }) => dispatch({ type: "invertToggled" }),
  turn: ({ session, dispatch }) => whileOpen(session, () => dispatch({ type: "turned" })),
  flip: ({ session, dispatch }) => whileOpen(session, () => dispatch({ type: "flipped" })),
  resetGreys: ({ dispatch }) => dispatch({ type: "greysReset" }),
  toggleTool: ({ state, dispatch }) =>
    dispatch({ type: "toolSet", tool: state.tool === "window" ? "pan" : "window" }),
  toggleRuler: ({ state, dispatch }) =>
    dispatch({ type: "toolSet", tool: state.tool === "ruler" ? "pan" : "ruler" }),
  toggleAngle: ({ state, dispatch }) =>
    dispatch({ type: "toolSet", tool: state.tool === "angle" ? "pan" : "angle" }),
  toggleRatio: ({ session, state, dispatch }) => {
    const { study } = session.open;
    if (study !== null) {
      dispatch({ type: "ratioSet", ratio: state.ratio === null ? firstRatio(study) : null });
    }
  },
  toggleMagnifier: ({ dispatch }) => dispatch({ type: "magnifierToggled" }),
  presetAuto: (page) => setPreset(page, "auto"),
  presetLung: (page) => setPreset(page, "lung"),
  presetMediastinum: (page) => setPreset(page, "mediastinum"),
  presetBone: (page) => setPreset(page, "bone"),
  toggleCorners: ({ dispatch }) => dispatch({ type: "cornersToggled" }),
  toggleBoxes: ({ dispatch }) => dispatch({ type: "boxesToggled" }),
  nextBox: goToNextBox,
  toggleHeatmap: ({ shown, dispatch }) =>
    dispatch({ type: "heatmapShown", shown: !shown.heatmapShown }),
  nextHeatmap: (page) => goToHeatmap(page, 1),
  previousHeatmap: (page) => goToHeatmap(page, -1),
  fainterHeatmap: (page) => changeOpacity(page, -OPACITY_STEP),
  strongerHeatmap: (page) => changeOpacity(page, OPACITY_STEP),
  allFindings: ({ panels }) => panels.setAllShown(!panels.allShown),
  acceptBox: (page) => judgeBox(page, "accepted"),
  rejectBox: (page) => judgeBox(page, "rejected"),
  addMissed: ({ session, dispatch }) => {
    if (session.review.say !== null) {
      dispatch({ type: "editingSet", editing: { kind: "added" } });
    }
  },
  undoReview: ({ session }) => session.review.undo?.(),
  togglePriors: ({ dispatch }) => dispatch({ type: "priorsToggled" }),
  download: () => document.getElementById("download-overlay")?.click(),
  rerun: ({ session }) => {
    const { study, isRerunning } = session.open;
    if (study !== null && canRerun(study) && !isRerunning) {
      session.rerun?.();
    }
  },
};

/** Done, and on to the next; a done study becomes an opened one again. */
export function finish({ worklist, walk }: Session): void {
  if (worklist.worklist?.state === "done") {
    worklist.set?.("opened");
  } else if (worklist.set !== null) {
    worklist.set("done");
    walk.step(1);
  }
}

function whileOpen({ open }: Session, act: () => void): void {
  if (open.study !== null) {
    act();
  }
}

/** Nobody judges what is not in sight: the first press shows the regions. */
function judgeBox({ session, state, shown, dispatch }: PageState, verdict: "accepted" | "rejected"): void {
  if (!state.boxesShown) {
    dispatch({ type: "boxesToggled" });
    return;
  }
  const { say, revision } = session.review;
  const index = shown.selectedBox;
  const box = index === null ? undefined : session.open.study?.boxes[index];
  if (say !== null && revision !== null && index !== null && box !== undefined) {
    say({ revision, verdict, target: boxTarget(index, box), comment: "" });
  }
}

function setPreset({ session, dispatch }: PageState, preset: Preset): void {
  if (session.open.study !== null) {
    applyPreset(session.open.study.id, session.own, preset, dispatch);
  }
}

function changeOpacity({ state, dispatch }: PageState, by: number): void {
  dispatch({ type: "opacitySet", opacity: state.heatmapOpacity + by });
}

/** The chosen one is shown before the next is gone to. */
function goToHeatmap({ session, shown, dispatch }: PageState, by: 1 | -1): void {
  const heatmaps = session.open.study?.heatmaps ?? [];
  const finding = shown.heatmapShown ? stepHeatmap(heatmaps, shown.heatmap, by) : shown.heatmap;
  if (finding !== null) {
    dispatch({ type: "heatmapSet", finding });
  }
}

/** Hidden boxes are passed over; after the last comes the first. */
function goToNextBox({ session, state, shown, dispatch, commands }: PageState): void {
  const boxes = session.open.study?.boxes ?? [];
  const visible = boxes.flatMap((box, index) => (isBoxWanted(state, box) ? [index] : []));
  const index = visible.find((candidate) => candidate > (shown.selectedBox ?? -1)) ?? visible[0];
  const box = index === undefined ? undefined : boxes[index];
  if (index !== undefined && box !== undefined) {
    dispatch({ type: "boxSelected", index });
    commands.current?.focus(box);
  }
}
