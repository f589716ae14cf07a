import type { Corners } from "../../api/schema";
import { displayName } from "../../domain/format";
import { rectOf, type Size } from "../../domain/geometry";
import { type Place, screenRect } from "../../domain/turn";
import type { Mark } from "../../domain/review";
import { t } from "../../i18n/t";
import styles from "./viewer.module.css";

interface ReviewOverlayProps {
  readonly marks: readonly Mark[];
  /** What is being drawn. */
  readonly drawn: Corners | null;
  readonly place: Place;
  readonly viewport: Size;
}

/**
 * The boxes that readers drew: white and dashed, with a person's word, so that nobody takes them
 * for a model's. Hidden from screen readers, who find them as a list beside the image.
 */
export function ReviewOverlay({ marks, drawn, place, viewport }: ReviewOverlayProps) {
  const boxes = marks.filter(({ verdict }) => verdict === "added" || verdict === "modified");
  return (
    <svg
      className={styles.overlay}
      width={viewport.width}
      height={viewport.height}
      aria-hidden="true"
      data-review
      pointerEvents="none"
    >
      {boxes.map(({ id, corners, label, mine, by }) =>
        corners === null ? null : (
          <Drawn key={id} corners={corners} place={place} text={`${displayName(label ?? "")}, ${mine ? t("you") : by}`} />
        ),
      )}
      {drawn !== null && Object.values(drawn).every(Number.isFinite) && (
        <Drawn corners={drawn} place={place} text={t("New")} isNew />
      )}
    </svg>
  );
}

interface DrawnProps {
  readonly corners: Corners;
  readonly place: Place;
  readonly text: string;
  readonly isNew?: boolean;
}

function Drawn({ corners, place, text, isNew = false }: DrawnProps) {
  const { x, y, width, height } = screenRect(rectOf(corners), place);
  const frame = { x, y, width: Math.max(0, width), height: Math.max(0, height) };
  return (
    <g data-new={isNew || undefined}>
      <rect className={styles.drawnHalo} {...frame} />
      <rect className={styles.drawn} {...frame} />
      <text className={styles.rulerText} x={x + 4} y={y + frame.height + 15}>
        {text}
      </text>
    </g>
  );
}
