import { useState } from "react";

import type { DriftReport } from "../../api/schema";
import { firstShown, ordered } from "../../domain/drift";
import { count } from "../../domain/format";
import { useDrift } from "../../state/useDrift";
import { Note } from "../controls";
import { StatisticRow } from "./StatisticRow";
import styles from "./drift.module.css";

/** Whether what comes in, and what is said of it, is as it was on the validation patients. */
export function DriftPage() {
  const { report, error, reload } = useDrift();
  return (
    <section className={styles.page} aria-labelledby="drift-title">
      <h2 id="drift-title">Drift</h2>
      {error !== null && (
        <Note
          tone="error"
          title={error.title}
          urgent
          actions={
            <button type="button" className="button" onClick={reload}>
              Try again
            </button>
          }
        >
          <p>{error.detail}</p>
        </Note>
      )}
      {report === null && error === null && <p role="status">Counting the images…</p>}
      {report !== null && <Report report={report} />}
    </section>
  );
}

function Report({ report }: { readonly report: DriftReport }) {
  const [chosen, setChosen] = useState<string | null>(null);
  const week = chosen ?? firstShown(report);
  return (
    <>
      <p className={styles.summary} role="status">
        {report.summary}
      </p>
      <Basis report={report} />
      {report.statistics.length > 0 && (
        <>
          <WeekChoice report={report} week={week} onChoose={setChosen} />
          <ul className={styles.statistics} aria-label="Distributions">
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
    <p className={styles.basis}>
      Each week&apos;s images are compared with {count(images, "image")} of{" "}
      {count(patients, `${split} patient`)}, analysed by {ood.name} {ood.version} and {classifier.name}{" "}
      {classifier.version}. The population stability index (PSI) is 0 for the same distribution; from{" "}
      {rules.watch} on it is to be watched, from {rules.drifted} on it has drifted. Weeks with fewer than {rules.min_images} images are not compared.
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
        <span className="field-label">Week</span>
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
          {facts.compared} compared, {facts.refused} of them rejected as out of distribution;{" "}
          {facts.other_models} analysed by other models
        </p>
      )}
    </div>
  );
}
