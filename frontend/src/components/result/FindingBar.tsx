import type { FindingProbability } from "../../api/schema";
import { colourOf } from "../../domain/colours";
import { displayName, percent, thresholdPercent } from "../../domain/format";
import { barPosition } from "../../domain/findings";
import styles from "./result.module.css";

/** A probability as a bar, with a mark where the finding counts as positive. */
export function FindingBar({ finding }: { readonly finding: FindingProbability }) {
  const { probability, threshold, positive } = finding;
  const sentence =
    `${displayName(finding.finding)}: probability ${percent(probability)}, ` +
    `threshold ${thresholdPercent(threshold)}, ${positive ? "positive" : "negative"}`;
  return (
    <div className={styles.bar} role="img" aria-label={sentence}>
      <div
        className={positive ? styles.fill : styles.fillNegative}
        style={{
          width: `${barPosition(probability) * 100}%`,
          backgroundColor: positive ? colourOf(finding.finding) : undefined,
        }}
      />
      <div className={styles.mark} style={{ left: `${barPosition(threshold) * 100}%` }} />
    </div>
  );
}

/** In words, with a shape: never by colour alone. */
export function Verdict({ positive }: { readonly positive: boolean }) {
  return (
    <span className={positive ? styles.positive : styles.negative}>
      <span aria-hidden="true">{positive ? "●" : "○"}</span> {positive ? "Positive" : "Negative"}
    </span>
  );
}

/** Said wherever bars stand: 60% is not at 60% of the bar's length. */
export function BarScale() {
  return <p className={styles.scale}>White mark: threshold. Bars have a square-root scale.</p>;
}
