import type { Study, ViewerLink } from "../../api/schema";
import { deidentifiedUrl } from "../../api/urls";
import { calendarDate, fullTime } from "../../domain/format";
import { personName, STATUS_NAMES, studyTitle } from "../../domain/studies";
import { elsewhere } from "../../domain/viewerLinks";
import { t } from "../../i18n/t";
import styles from "./result.module.css";

interface StudyFactsProps {
  readonly study: Study;
  readonly mayExport: boolean;
  /** Other viewers. */
  readonly viewers: readonly ViewerLink[];
}

/** Whose image this is, and which. */
export function StudyFacts(props: StudyFactsProps) {
  const { study } = props;
  const { image } = study;
  const facts = factsOf(study).filter(([, value]) => value !== null);
  return (
    <header className={styles.head}>
      <h2 className={styles.title}>{studyTitle(study)}</h2>
      <p className={styles.muted}>
        {[image.view, t("{0} × {1} px", image.width, image.height), image.source.toUpperCase()]
          .filter((part) => part !== null)
          .join(" · ")}
      </p>
      <Elsewhere {...props} />
      <details className={styles.details}>
        <summary>{t("Patient and file")}</summary>
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
            {t("If no name is burnt into the image itself:")}
            <a href={deidentifiedUrl(study.id)} target="_blank" rel="noreferrer">
              {t("file without the patient")}
            </a>
          </p>
        )}
      </details>
    </header>
  );
}

/** The same study in other viewers: in a tab that knows nothing of this one. */
function Elsewhere({ study, viewers }: StudyFactsProps) {
  const links = elsewhere(viewers, study);
  if (links.length === 0) {
    return null;
  }
  return (
    <ul className={styles.elsewhere} aria-label={t("Open in another viewer")}>
      {links.map(({ name, href, isProgram }) => (
        <li key={name}>
          <a href={href} target={isProgram ? undefined : "_blank"} rel="noopener noreferrer">
            {t("Open in {0}", name)}
          </a>
        </li>
      ))}
    </ul>
  );
}

function factsOf(study: Study): [string, string | null][] {
  const { patient } = study;
  const date = (value: string | null): string | null => (value === null ? null : calendarDate(value));
  return [
    [t("Patient"), personName(patient.name)],
    [t("Patient ID"), patient.patient_id],
    [t("Born"), date(patient.birth_date)],
    [t("Sex"), patient.sex],
    [t("Accession"), patient.accession_number],
    [t("Study date"), date(patient.study_date)],
    [t("File"), study.file_name],
    [t("Received"), fullTime(study.received_at)],
    [t("Analysis"), STATUS_NAMES[study.status]],
  ];
}
