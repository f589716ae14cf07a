import { canRerun, neighbour } from "../domain/studies";
import type { Command } from "../state/shortcuts";
import { isBoxVisible, nextHeatmap } from "../state/viewer";
import type { PageState } from "./pageState";
import { ZOOM_STEP } from "./viewer/viewCommands";

const OPACITY_STEP = 0.1;

/** What each keyboard command does; those about a study do nothing while none is open. */
export function runCommand(command: Command, page: PageState): void {
  COMMANDS[command](page);
}

const COMMANDS: Record<Command, (page: PageState) => void> = {
  help: ({ panels }) => panels.setHelpShown(true),
  upload: ({ picker }) => picker.current?.click(),
  toggleList: ({ panels }) => panels.setListShown(!panels.listShown),
  nextStudy: (page) => step(page, 1),
  previousStudy: (page) => step(page, -1),
  zoomIn: ({ commands }) => commands.current?.zoom(ZOOM_STEP),
  zoomOut: ({ commands }) => commands.current?.zoom(1 / ZOOM_STEP),
  fit: ({ commands }) => commands.current?.fit(),
  actualSize: ({ commands }) => commands.current?.actualSize(),
  invert: ({ dispatch }) => dispatch({ type: "invertToggled" }),
  resetGreys: ({ dispatch }) => dispatch({ type: "greysReset" }),
  toggleTool: ({ state, dispatch }) =>
    dispatch({ type: "toolSet", tool: state.tool === "pan" ? "window" : "pan" }),
  toggleBoxes: ({ dispatch }) => dispatch({ type: "boxesToggled" }),
  nextBox: goToNextBox,
  nextHeatmap: ({ session, state, dispatch }) =>
    dispatch({
      type: "heatmapSet",
      finding: nextHeatmap(session.open.study?.heatmaps ?? [], state.heatmap),
    }),
  fainterHeatmap: (page) => changeOpacity(page, -OPACITY_STEP),
  strongerHeatmap: (page) => changeOpacity(page, OPACITY_STEP),
  allFindings: ({ panels }) => panels.setAllShown(!panels.allShown),
  download: () => document.getElementById("download-overlay")?.click(),
  rerun: ({ session }) => {
    const { study, isRerunning } = session.open;
    if (study !== null && canRerun(study) && !isRerunning) {
      session.rerun?.();
    }
  },
};

function step({ session: { list, route } }: PageState, by: 1 | -1): void {
  const study = neighbour(list.studies, route.studyId, by);
  if (study !== null) {
    route.open(study.id);
  }
}

function changeOpacity({ state, dispatch }: PageState, by: number): void {
  dispatch({ type: "opacitySet", opacity: state.heatmapOpacity + by });
}

/** Hidden boxes are passed over; after the last comes the first. */
function goToNextBox({ session, state, dispatch, commands }: PageState): void {
  const boxes = session.open.study?.boxes ?? [];
  const visible = boxes.flatMap((box, index) => (isBoxVisible(state, box.finding) ? [index] : []));
  const index = visible.find((candidate) => candidate > (state.selectedBox ?? -1)) ?? visible[0];
  const box = index === undefined ? undefined : boxes[index];
  if (index !== undefined && box !== undefined) {
    dispatch({ type: "boxSelected", index });
    commands.current?.focus(box);
  }
}
