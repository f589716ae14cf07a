import type { DriftStatistic, WeekOfStatistic } from "../../api/schema";
import { binsSentence } from "../../domain/drift";
import { t } from "../../i18n/t";
import styles from "./drift.module.css";

const WIDTH = 240;
const HEIGHT = 40;
const GAP = 4;

interface BinsChartProps {
  readonly statistic: DriftStatistic;
  readonly shown: WeekOfStatistic | null;
}

/** The reference's distribution beside the week's: two bars for each bin, from the lowest on. */
export function BinsChart({ statistic, shown }: BinsChartProps) {
  const { bins } = statistic;
  const shares = shown?.shares ?? [];
  const highest = Math.max(...bins.map(({ share }) => share), ...shares);
  const step = WIDTH / bins.length;
  const width = (step - GAP) / 2;
  const height = (share: number): number => (share / highest) * HEIGHT;
  return (
    <figure className={styles.chart}>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={binsSentence(statistic, shown)}>
        {bins.map(({ label, share }, index) => {
          const x = index * step + GAP / 2;
          const now = height(shares[index] ?? 0);
          return (
            <g key={label}>
              <rect
                className={styles.reference}
                x={x}
                y={HEIGHT - height(share)}
                width={width}
                height={height(share)}
              />
              <rect className={styles.now} x={x + width} y={HEIGHT - now} width={width} height={now} />
            </g>
          );
        })}
      </svg>
      <figcaption>
        <span className={styles.referenceKey} aria-hidden="true" />{" "}{t("Reference")}
        <span className={styles.nowKey} aria-hidden="true" /> {shown?.week ?? t("Week")}
      </figcaption>
    </figure>
  );
}
