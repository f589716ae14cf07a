import type { Study } from "../../api/schema";
import { deidentifiedUrl } from "../../api/urls";
import { calendarDate, fullTime } from "../../domain/format";
import { personName, STATUS_NAMES, studyTitle } from "../../domain/studies";
import styles from "./result.module.css";

/** Whose image this is, and which. */
export function StudyFacts(props: { readonly study: Study; readonly mayExport: boolean }) {
  const { study } = props;
  const { image } = study;
  const facts = factsOf(study).filter(([, value]) => value !== null);
  return (
    <header className={styles.head}>
      <h2 className={styles.title}>{studyTitle(study)}</h2>
      <p className={styles.muted}>
        {[image.view, `${image.width} × ${image.height} px`, image.source.toUpperCase()]
          .filter((part) => part !== null)
          .join(" · ")}
      </p>
      <details className={styles.details}>
        <summary>Patient and file</summary>
        <dl className={styles.facts}>
          {facts.map(([term, value]) => (
            <div key={term}>
              <dt>{term}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
        {props.mayExport && (
          <p className={styles.muted}>
            If no name is burnt into the image itself:{" "}
            <a href={deidentifiedUrl(study.id)} target="_blank" rel="noreferrer">
              file without the patient
            </a>
          </p>
        )}
      </details>
    </header>
  );
}

function factsOf(study: Study): [string, string | null][] {
  const { patient } = study;
  const date = (value: string | null): string | null => (value === null ? null : calendarDate(value));
  return [
    ["Patient", personName(patient.name)],
    ["Patient ID", patient.patient_id],
    ["Born", date(patient.birth_date)],
    ["Sex", patient.sex],
    ["Accession", patient.accession_number],
    ["Study date", date(patient.study_date)],
    ["File", study.file_name],
    ["Received", fullTime(study.received_at)],
    ["Analysis", STATUS_NAMES[study.status]],
  ];
}
