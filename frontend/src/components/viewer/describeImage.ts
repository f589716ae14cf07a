import type { Study } from "../../api/schema";
import { count } from "../../domain/format";

/** What the image is, for someone who cannot see it. */
export function describeImage({ image, boxes, status }: Study): string {
  const view = image.view === null ? "" : `, ${image.view} view`;
  const size = `${image.width} by ${image.height} pixels`;
  const regions =
    status === "rejected" ? "not analysed" : `${count(boxes.length, "marked region")}, listed beside it`;
  return `Radiograph${view}, ${size}, ${regions}. Arrow keys move it, plus and minus zoom.`;
}
