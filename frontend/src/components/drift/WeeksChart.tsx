import type { DriftRules, DriftStatistic } from "../../api/schema";
import { psiPosition, weeksSentence } from "../../domain/drift";
import { t } from "../../i18n/t";
import styles from "./drift.module.css";

const WIDTH = 240;
const HEIGHT = 40;
const GAP = 4;

interface WeeksChartProps {
  readonly statistic: DriftStatistic;
  readonly week: string | null;
  readonly rules: DriftRules;
}

/** The PSI of each week as a bar, with lines where it is to be watched and where it has drifted. */
export function WeeksChart({ statistic, week, rules }: WeeksChartProps) {
  const step = WIDTH / Math.max(statistic.weeks.length, 1);
  return (
    <figure className={styles.chart}>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={weeksSentence(statistic)}>
        {[rules.watch, rules.drifted].map((limit) => {
          const y = HEIGHT - psiPosition(limit) * HEIGHT;
          return <line key={limit} className={styles.limit} x1={0} x2={WIDTH} y1={y} y2={y} />;
        })}
        {statistic.weeks.map((one, index) => {
          // A week that was not compared has a dot on the ground, so that it is seen to be there.
          const height = one.psi === null ? 2 : Math.max(2, psiPosition(one.psi) * HEIGHT);
          return (
            <rect
              key={one.week}
              className={styles.week}
              data-flag={one.flag}
              data-shown={one.week === week}
              x={index * step + GAP / 2}
              y={HEIGHT - height}
              width={step - GAP}
              height={height}
            />
          );
        })}
      </svg>
      <figcaption>
        {t("PSI, {0} to {1}", statistic.weeks.at(0)?.week ?? "", statistic.weeks.at(-1)?.week ?? "")}
      </figcaption>
    </figure>
  );
}
