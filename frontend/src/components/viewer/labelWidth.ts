const PADDING_PX = 6;
/** As `--font` in base.css, at the size of `.labelText` in viewer.module.css. */
const FONT = '600 12px -apple-system, "Segoe UI", Roboto, "Inter", "Liberation Sans", system-ui';
/** Where there is no canvas to measure with. */
const TYPICAL_CHARACTER_PX = 7;

let context: CanvasRenderingContext2D | null | undefined;

/** Screen pixels that the label of a box takes, padding included. */
export function labelWidth(text: string): number {
  context ??= document.createElement("canvas").getContext("2d");
  if (!context) {
    return text.length * TYPICAL_CHARACTER_PX + 2 * PADDING_PX;
  }
  context.font = FONT;
  return Math.ceil(context.measureText(text).width) + 2 * PADDING_PX;
}
