/** Which key does what. One table serves the keyboard and the help dialog. */

export type Command =
  | "help"
  | "upload"
  | "toggleList"
  | "nextStudy"
  | "previousStudy"
  | "zoomIn"
  | "zoomOut"
  | "fit"
  | "actualSize"
  | "invert"
  | "resetGreys"
  | "toggleTool"
  | "toggleBoxes"
  | "nextBox"
  | "nextHeatmap"
  | "fainterHeatmap"
  | "strongerHeatmap"
  | "allFindings"
  | "download"
  | "rerun";

export interface Shortcut {
  readonly command: Command;
  /** Values of KeyboardEvent.key; the first is shown. */
  readonly keys: readonly string[];
  readonly label: string;
  readonly group: "Studies" | "Image" | "Result" | "Page";
}

export const SHORTCUTS: readonly Shortcut[] = [
  { command: "nextStudy", keys: ["j"], label: "Next study", group: "Studies" },
  { command: "previousStudy", keys: ["k"], label: "Previous study", group: "Studies" },
  { command: "upload", keys: ["u"], label: "Choose files to analyse", group: "Studies" },
  { command: "toggleList", keys: ["l"], label: "Show or hide the list", group: "Studies" },
  { command: "zoomIn", keys: ["+", "="], label: "Zoom in", group: "Image" },
  { command: "zoomOut", keys: ["-", "_"], label: "Zoom out", group: "Image" },
  { command: "fit", keys: ["0"], label: "Fit the whole image", group: "Image" },
  { command: "actualSize", keys: ["1"], label: "One image pixel per screen pixel", group: "Image" },
  { command: "toggleTool", keys: ["w"], label: "Drag moves, or drag sets the window", group: "Image" },
  { command: "invert", keys: ["i"], label: "Invert the greys", group: "Image" },
  { command: "resetGreys", keys: ["r"], label: "Reset window, level and inversion", group: "Image" },
  { command: "toggleBoxes", keys: ["b"], label: "Show or hide the regions", group: "Result" },
  { command: "nextBox", keys: ["n"], label: "Go to the next region", group: "Result" },
  { command: "nextHeatmap", keys: ["h"], label: "Next heat map, or none", group: "Result" },
  { command: "fainterHeatmap", keys: ["["], label: "Fainter heat map", group: "Result" },
  { command: "strongerHeatmap", keys: ["]"], label: "Stronger heat map", group: "Result" },
  { command: "allFindings", keys: ["a"], label: "Show or hide all findings", group: "Result" },
  { command: "rerun", keys: ["g"], label: "Analyse a partial study again", group: "Result" },
  { command: "download", keys: ["s"], label: "Save the image with its findings", group: "Result" },
  { command: "help", keys: ["?"], label: "This help", group: "Page" },
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
