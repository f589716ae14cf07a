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
      {report === null && error === null && <p role="status">Counting the films…</p>}
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
      <Grounds report={report} />
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

/** What is held against what, in words. */
function Grounds({ report: { reference, rules } }: { readonly report: DriftReport }) {
  if (reference === null) {
    return null;
  }
  const { films, patients, split, gate, classifier } = reference;
  return (
    <p className={styles.grounds}>
      Each week&apos;s films against {count(films, "film")} of {count(patients, `${split} patient`)}, read by{" "}
      {gate.name} {gate.version} and {classifier.name} {classifier.version}. The population stability index (PSI)
      is 0 for the same distribution; from {rules.watch} on it is to be watched, from {rules.drifted} on it has
      drifted. Fewer than {rules.min_films} films are not judged.
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
              {one.week}, {count(one.films, "film")}
            </option>
          ))}
        </select>
      </label>
      {facts !== undefined && (
        <p className={styles.muted}>
          {facts.compared} compared, {facts.refused} of them refused by the gate; {facts.other_models} read by other
          models
        </p>
      )}
    </div>
  );
}
