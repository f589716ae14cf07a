/** Which key does what. One table serves the keyboard and the help dialog. */

import { t } from "../i18n/t";

export type Command =
  | "help"
  | "upload"
  | "toggleList"
  | "search"
  | "nextStudy"
  | "previousStudy"
  | "done"
  | "zoomIn"
  | "zoomOut"
  | "fit"
  | "actualSize"
  | "invert"
  | "turn"
  | "flip"
  | "resetGreys"
  | "toggleTool"
  | "toggleRuler"
  | "toggleAngle"
  | "toggleRatio"
  | "toggleMagnifier"
  | "presetAuto"
  | "presetLung"
  | "presetMediastinum"
  | "presetBone"
  | "toggleCorners"
  | "toggleBoxes"
  | "nextBox"
  | "toggleHeatmap"
  | "nextHeatmap"
  | "previousHeatmap"
  | "fainterHeatmap"
  | "strongerHeatmap"
  | "allFindings"
  | "download"
  | "acceptBox"
  | "rejectBox"
  | "addMissed"
  | "undoReview"
  | "togglePriors"
  | "rerun";

export interface Shortcut {
  readonly command: Command;
  /** Values of KeyboardEvent.key; the first is shown. */
  readonly keys: readonly string[];
  readonly label: string;
  readonly group: "Studies" | "Image" | "Result" | "Page";
}

export const SHORTCUTS: readonly Shortcut[] = [
  { command: "nextStudy", keys: ["j"], label: t("Next study"), group: "Studies" },
  { command: "previousStudy", keys: ["k"], label: t("Previous study"), group: "Studies" },
  { command: "done", keys: ["d"], label: t("Done, and on to the next"), group: "Studies" },
  { command: "upload", keys: ["u"], label: t("Choose files to analyse"), group: "Studies" },
  { command: "search", keys: ["/"], label: t("Search studies"), group: "Studies" },
  { command: "toggleList", keys: ["l"], label: t("Show or hide the list"), group: "Studies" },
  { command: "zoomIn", keys: ["+", "="], label: t("Zoom in"), group: "Image" },
  { command: "zoomOut", keys: ["-", "_"], label: t("Zoom out"), group: "Image" },
  { command: "fit", keys: ["0"], label: t("Fit the whole image"), group: "Image" },
  { command: "actualSize", keys: ["1"], label: t("One image pixel per pixel of the screen"), group: "Image" },
  { command: "toggleTool", keys: ["w"], label: t("Drag moves, or drag sets the window"), group: "Image" },
  { command: "toggleRuler", keys: ["m"], label: t("Drag measures a distance"), group: "Image" },
  { command: "toggleAngle", keys: ["e"], label: t("Drag two lines and measure their angle"), group: "Image" },
  { command: "toggleRatio", keys: ["o"], label: t("Measure the cardiothoracic ratio"), group: "Image" },
  { command: "toggleMagnifier", keys: ["v"], label: t("A lens that follows the pointer"), group: "Image" },
  { command: "presetAuto", keys: ["2"], label: t("Window: auto"), group: "Image" },
  { command: "presetLung", keys: ["3"], label: t("Window: lung"), group: "Image" },
  { command: "presetMediastinum", keys: ["4"], label: t("Window: mediastinum"), group: "Image" },
  { command: "presetBone", keys: ["5"], label: t("Window: bone"), group: "Image" },
  { command: "toggleCorners", keys: ["t"], label: t("Show or hide names on the image"), group: "Image" },
  { command: "invert", keys: ["i"], label: t("Invert the greys"), group: "Image" },
  { command: "turn", keys: ["q"], label: t("Turn the image clockwise"), group: "Image" },
  { command: "flip", keys: ["f"], label: t("Flip the image, left for right"), group: "Image" },
  { command: "resetGreys", keys: ["r"], label: t("Reset window, level and inversion"), group: "Image" },
  { command: "toggleBoxes", keys: ["b"], label: t("Show or hide the regions"), group: "Result" },
  { command: "nextBox", keys: ["n"], label: t("Go to the next region"), group: "Result" },
  { command: "toggleHeatmap", keys: ["h"], label: t("Show or hide the heat map"), group: "Result" },
  { command: "nextHeatmap", keys: ["."], label: t("Heat map of the next finding"), group: "Result" },
  { command: "previousHeatmap", keys: [","], label: t("Heat map of the finding before"), group: "Result" },
  { command: "fainterHeatmap", keys: ["["], label: t("Fainter heat map"), group: "Result" },
  { command: "strongerHeatmap", keys: ["]"], label: t("Stronger heat map"), group: "Result" },
  { command: "allFindings", keys: ["a"], label: t("Show or hide all findings"), group: "Result" },
  { command: "togglePriors", keys: ["p"], label: t("Another image of the patient beside this one, or none"), group: "Result" },
  { command: "acceptBox", keys: ["y"], label: t("Accept the selected region"), group: "Result" },
  { command: "rejectBox", keys: ["x"], label: t("Reject the selected region"), group: "Result" },
  { command: "addMissed", keys: ["c"], label: t("Add what was missed"), group: "Result" },
  { command: "undoReview", keys: ["z"], label: t("Take back what you said last"), group: "Result" },
  { command: "rerun", keys: ["g"], label: t("Analyse a partial study again"), group: "Result" },
  { command: "download", keys: ["s"], label: t("Save the image with its findings"), group: "Result" },
  { command: "help", keys: ["?"], label: t("This help"), group: "Page" },
];

interface KeyPress {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
}

/** The command of a key press; combinations belong to the browser and to screen readers. */
export function commandOf(press: KeyPress): Command | null {
  if (press.ctrlKey || press.metaKey || press.altKey) {
    return null;
  }
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key;
  return SHORTCUTS.find(({ keys }) => keys.includes(key))?.command ?? null;
}
