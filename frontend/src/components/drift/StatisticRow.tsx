import type { DriftRules, DriftStatistic } from "../../api/schema";
import { flagName, psiText, shareText, weekOf } from "../../domain/drift";
import { count, displayName } from "../../domain/format";
import { BinsChart } from "./BinsChart";
import { WeeksChart } from "./WeeksChart";
import styles from "./drift.module.css";

interface StatisticRowProps {
  readonly statistic: DriftStatistic;
  readonly week: string | null;
  readonly rules: DriftRules;
}

/** One distribution: its flag in words, both charts, and their numbers on demand. */
export function StatisticRow({ statistic, week, rules }: StatisticRowProps) {
  const shown = weekOf(statistic, week);
  const flag = shown?.flag ?? "too-few";
  const what = statistic.about === "input" ? "Input" : "Score";
  return (
    <li className={styles.statistic} data-statistic={statistic.name} data-flag={flag}>
      <div className={styles.head}>
        <h3>{displayName(statistic.name)}</h3>
        <p className={styles.flag}>{flagName(flag)}</p>
        <p className={styles.muted}>
          {what}, PSI {psiText(shown?.psi ?? null)}, {count(shown?.images ?? 0, "image")}
        </p>
      </div>
      <WeeksChart statistic={statistic} week={week} rules={rules} />
      <BinsChart statistic={statistic} shown={shown} />
      <details className={styles.numbers}>
        <summary>
          Numbers<span className="visually-hidden"> of {displayName(statistic.name)}</span>
        </summary>
        <div className={styles.tables}>
          <WeeksTable statistic={statistic} />
          <BinsTable statistic={statistic} week={week} />
        </div>
      </details>
    </li>
  );
}

function WeeksTable({ statistic }: { readonly statistic: DriftStatistic }) {
  return (
    <table>
      <caption>By week</caption>
      <thead>
        <tr>
          <th scope="col">Week</th>
          <th scope="col">Images</th>
          <th scope="col">PSI</th>
          <th scope="col">Flag</th>
        </tr>
      </thead>
      <tbody>
        {statistic.weeks.map(({ week, images, psi, flag }) => (
          <tr key={week}>
            <th scope="row">{week}</th>
            <td>{images}</td>
            <td>{psiText(psi)}</td>
            <td>{flagName(flag)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function BinsTable({ statistic, week }: { readonly statistic: DriftStatistic; readonly week: string | null }) {
  const shares = weekOf(statistic, week)?.shares ?? null;
  return (
    <table>
      <caption>Shares of images</caption>
      <thead>
        <tr>
          <th scope="col">Value</th>
          <th scope="col">Reference</th>
          <th scope="col">{week ?? "Week"}</th>
        </tr>
      </thead>
      <tbody>
        {statistic.bins.map(({ label, share }, index) => {
          const now = shares?.[index];
          return (
            <tr key={label}>
              <th scope="row">{label}</th>
              <td>{shareText(share)}</td>
              <td>{now === undefined ? "–" : shareText(now)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
