import { edgeOfLeft, isUpright, oppositeEdge, type Edge, type Turn } from "../../domain/turn";
import { t } from "../../i18n/t";
import styles from "./viewer.module.css";

interface SidesProps {
  readonly turn: Turn;
  /** Whether the file says which side is the patient's left. */
  readonly isKnown: boolean;
}

/**
 * The patient's right and left at the edges, and in words how the image is turned.
 *
 * Where the file does not say its sides there are no letters: a letter that is wrong is worse.
 */
export function Sides({ turn, isKnown }: SidesProps) {
  const left = edgeOfLeft(turn);
  return (
    <>
      {isKnown && (
        <div aria-hidden="true" data-sides={left}>
          <span className={styles.side} data-edge={left}>
            {t("L")}
          </span>
          <span className={styles.side} data-edge={oppositeEdge(left)}>
            {t("R")}
          </span>
        </div>
      )}
      <p className={isUpright(turn) ? "visually-hidden" : styles.turned} role="status" data-turned>
        {turnText(turn, isKnown ? left : null)}
      </p>
    </>
  );
}

const LEFT_AT: Record<Edge, string> = {
  right: t("The patient's left is on the right."),
  bottom: t("The patient's left is at the bottom."),
  left: t("The patient's left is on the left."),
  top: t("The patient's left is at the top."),
};

function turnText(turn: Turn, left: Edge | null): string {
  if (isUpright(turn)) {
    return t("The image hangs as it came.");
  }
  const degrees = 90 * turn.quarters;
  const how = !turn.mirrored
    ? t("Turned by {0}°.", degrees)
    : degrees === 0
      ? t("Flipped, left for right.")
      : t("Flipped, left for right, and turned by {0}°.", degrees);
  return [how, left === null ? null : LEFT_AT[left]].filter((part) => part !== null).join(" ");
}
