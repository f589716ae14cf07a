import type { FindingProbability, Level } from "../../api/schema";
import { displayName, percent, thresholdPercent } from "../../domain/format";
import { barPosition } from "../../domain/findings";
import { LEVEL_NAMES } from "../../domain/levels";
import { t } from "../../i18n/t";
import styles from "./result.module.css";

/** A probability as a bar, with marks where the finding becomes possible and likely. */
export function FindingBar({ finding }: { readonly finding: FindingProbability }) {
  const { probability, possible_threshold, likely_threshold, level } = finding;
  const sentence =
    t("{0}: probability {1}, {2}; ", displayName(finding.finding), percent(probability), level) +
    t("possible from {0}, likely from {1}", thresholdPercent(possible_threshold), thresholdPercent(likely_threshold));
  return (
    <div className={styles.bar} role="img" aria-label={sentence} title={sentence}>
      <div
        className={styles.fill}
        data-level={level}
        style={{ width: `${barPosition(probability) * 100}%` }}
      />
      {[possible_threshold, likely_threshold].map((threshold, index) => (
        <div key={index} className={styles.mark} style={{ left: `${barPosition(threshold) * 100}%` }} />
      ))}
    </div>
  );
}

const SHAPES: Record<Level, string> = { likely: "●", possible: "◐", unlikely: "○" };

/** In words, with a shape: never by colour alone. */
export function LevelChip({ level }: { readonly level: Level }) {
  return (
    <span className={styles.level} data-level={level}>
      <span aria-hidden="true">{SHAPES[level]}</span> {LEVEL_NAMES[level]}
    </span>
  );
}

/** Said wherever bars stand: 60% is not at 60% of the bar's length. */
export function BarScale({ derived }: { readonly derived: boolean }) {
  return (
    <p className={styles.scale}>
      {t("Marks: possible, likely. Bars have a square-root scale.")}
      {derived && t(" These levels are derived from the model's thresholds; what they mean was not measured.")}
    </p>
  );
}
