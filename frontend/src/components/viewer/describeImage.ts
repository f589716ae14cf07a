import type { Study } from "../../api/schema";
import { count } from "../../domain/format";
import { t } from "../../i18n/t";

/** What the image is, for someone who cannot see it. */
export function describeImage({ image, boxes, status }: Study): string {
  const view = image.view === null ? "" : t(", {0} view", image.view);
  const size = t("{0} by {1} pixels", image.width, image.height);
  const regions =
    status === "rejected" ? t("not analysed") : t("{0}, listed beside it", count(boxes.length, "marked region"));
  return t("Radiograph{0}, {1}, {2}. Arrow keys move it, plus and minus zoom.", view, size, regions);
}
