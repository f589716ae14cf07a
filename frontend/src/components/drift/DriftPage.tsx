import { useState } from "react";

import { getDrift } from "../../api/client";
import type { DriftReport } from "../../api/schema";
import { firstShown, ordered } from "../../domain/drift";
import { count } from "../../domain/format";
import { useAsked } from "../../state/useAsked";
import { AskedPage, BASIS, SUMMARY } from "../page/AskedPage";
import { StatisticRow } from "./StatisticRow";
import { t } from "../../i18n/t";
import styles from "./drift.module.css";

const WEEKS = 12;
const REFRESH_INTERVAL_MS = 60_000;

/** Whether what comes in, and what is said of it, is as it was on the validation patients. */
export function DriftPage() {
  return (
    <AskedPage title={t("Drift")} asked={useAsked(ask, REFRESH_INTERVAL_MS)} waiting={t("Counting the images…")}>
      {(report) => <Report report={report} />}
    </AskedPage>
  );
}

function ask(signal: AbortSignal): Promise<DriftReport> {
  return getDrift(WEEKS, signal);
}

function Report({ report }: { readonly report: DriftReport }) {
  const [chosen, setChosen] = useState<string | null>(null);
  const week = chosen ?? firstShown(report);
  return (
    <>
      <p className={SUMMARY} role="status">
        {report.summary}
      </p>
      <Basis report={report} />
      {report.statistics.length > 0 && (
        <>
          <WeekChoice report={report} week={week} onChoose={setChosen} />
          <ul className={styles.statistics} aria-label={t("Distributions")}>
            {ordered(report, week).map((statistic) => (
              <StatisticRow key={statistic.name} statistic={statistic} week={week} rules={report.rules} />
            ))}
          </ul>
        </>
      )}
    </>
  );
}

/** What is compared with what, in words. */
function Basis({ report: { reference, rules } }: { readonly report: DriftReport }) {
  if (reference === null) {
    return null;
  }
  const { images, patients, split, ood, classifier } = reference;
  return (
    <p className={BASIS}>
      {t("Each week's images are compared with {0} of {1}, analysed by {2} {3} and {4} {5}. The population stability index (PSI) is 0 for the same distribution; from {6} on it is to be watched, from {7} on it has drifted. Weeks with fewer than {8} images are not compared.", count(images, "image"), t("{0} {1} patients", patients, split), ood.name, ood.version, classifier.name, classifier.version, rules.watch, rules.drifted, rules.min_images)}
    </p>
  );
}

interface WeekChoiceProps {
  readonly report: DriftReport;
  readonly week: string | null;
  readonly onChoose: (week: string) => void;
}

function WeekChoice({ report, week, onChoose }: WeekChoiceProps) {
  const facts = report.weeks.find((one) => one.week === week);
  return (
    <div className={styles.choice}>
      <label className="field">
        <span className="field-label">{t("Week")}</span>
        <select value={week ?? ""} onChange={({ currentTarget }) => onChoose(currentTarget.value)}>
          {report.weeks.map((one) => (
            <option key={one.week} value={one.week}>
              {one.week}, {count(one.images, "image")}
            </option>
          ))}
        </select>
      </label>
      {facts !== undefined && (
        <p className={styles.muted}>
          {t("{0} compared, {1} of them rejected as out of distribution; {2} analysed by other models", facts.compared, facts.refused, facts.other_models)}
        </p>
      )}
    </div>
  );
}
