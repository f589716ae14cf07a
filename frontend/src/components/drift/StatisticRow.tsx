import type { DriftRules, DriftStatistic } from "../../api/schema";
import { flagName, psiText, shareText, statisticName, weekOf } from "../../domain/drift";
import { count } from "../../domain/format";
import { BinsChart } from "./BinsChart";
import { WeeksChart } from "./WeeksChart";
import { t } from "../../i18n/t";
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
  const what = statistic.about === "input" ? t("Input") : t("Score");
  return (
    <li className={styles.statistic} data-statistic={statistic.name} data-flag={flag}>
      <div className={styles.head}>
        <h3>{statisticName(statistic.name)}</h3>
        <p className={styles.flag}>{flagName(flag)}</p>
        <p className={styles.muted}>
          {t("{0}, PSI {1}, {2}", what, psiText(shown?.psi ?? null), count(shown?.images ?? 0, "image"))}
        </p>
      </div>
      <WeeksChart statistic={statistic} week={week} rules={rules} />
      <BinsChart statistic={statistic} shown={shown} />
      <details className={styles.numbers}>
        <summary>
          {t("Numbers")}<span className="visually-hidden">{" "}{t("of {0}", statisticName(statistic.name))}</span>
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
      <caption>{t("By week")}</caption>
      <thead>
        <tr>
          <th scope="col">{t("Week")}</th>
          <th scope="col">{t("Images")}</th>
          <th scope="col">{t("PSI")}</th>
          <th scope="col">{t("Flag")}</th>
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
      <caption>{t("Shares of images")}</caption>
      <thead>
        <tr>
          <th scope="col">{t("Value")}</th>
          <th scope="col">{t("Reference")}</th>
          <th scope="col">{week ?? t("Week")}</th>
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
