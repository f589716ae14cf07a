import { useId, useState } from "react";

import type { ReportText, Study, StudySummary } from "../../api/schema";
import { reportPdfUrl } from "../../api/urls";
import { shortTime } from "../../domain/format";
import { useReport } from "../../state/useReport";
import { Note } from "../controls";
import { Icon } from "../Icon";
import { t } from "../../i18n/t";
import styles from "./result.module.css";

interface ReportSectionProps {
  readonly study: Study;
  /** The earlier study that is shown beside it. */
  readonly prior: StudySummary | null;
  readonly mayWrite: boolean;
  readonly person: string;
}

/** The gateway's limit for a section, and from which share of it on it is shown. */
const MAX_SECTION_CHARS = 4_000;
const NEARLY = 0.9;
const SECTIONS: readonly { readonly name: keyof ReportText; readonly title: string; readonly rows: number }[] = [
  { name: "examination", title: t("Examination"), rows: 1 },
  { name: "comparison", title: t("Comparison"), rows: 2 },
  { name: "findings", title: t("Findings"), rows: 5 },
  { name: "impression", title: t("Impression"), rows: 2 },
];

/** A report drafted from what is known, written and signed by a person. */
export function ReportSection({ study, prior, mayWrite, person }: ReportSectionProps) {
  const id = useId();
  const [isOpen, setOpen] = useState(false);
  return (
    <section className={styles.section} aria-label={t("Report")}>
      <button
        type="button"
        className={styles.disclosure}
        aria-expanded={isOpen}
        aria-controls={id}
        onClick={() => setOpen(!isOpen)}
      >
        <span aria-hidden="true">{isOpen ? "▾" : "▸"}</span>{" "}{t("Report")}
      </button>
      <div id={id} hidden={!isOpen}>
        {isOpen && <Editor key={study.id} {...{ study, prior, mayWrite, person }} />}
      </div>
    </section>
  );
}

function Editor({ study, prior, mayWrite, person }: ReportSectionProps) {
  const { report, text, isChanged, isSending, error, write, draft, save } = useReport(
    study.id,
    prior?.id ?? null,
    person,
  );
  if (report === null || text === null) {
    return error === null ? (
      <p role="status">{t("Drafting the report…")}</p>
    ) : (
      <Note tone="error" title={error.title} urgent>
        <p>{error.detail}</p>
      </Note>
    );
  }
  const last = report.versions.at(-1);
  const isTooLong = SECTIONS.some(({ name }) => text[name].length > MAX_SECTION_CHARS);
  const canSign = text.impression.trim() !== "" && !isSending && !isTooLong;
  return (
    <form className={styles.report} aria-label={t("Report")} onSubmit={(event) => event.preventDefault()}>
      <p className={styles.muted} role="status">
        {last === undefined ? t("Nobody has written a report yet; this is drafted.") : t("Version {0}, {1}, by {2}, {3}.", last.version, last.signed ? t("signed") : t("not signed"), last.name, shortTime(last.at, new Date()))}
        {isChanged && t(" What you changed is kept in this browser until you save it.")}
      </p>
      {SECTIONS.map(({ name, title, rows }) => (
        <label key={name} className={styles.comment}>
          <span className="field-label">{title}</span>
          <textarea
            rows={rows}
            value={text[name]}
            readOnly={!mayWrite}
            aria-invalid={text[name].length > MAX_SECTION_CHARS}
            onChange={({ currentTarget }) => write({ ...text, [name]: currentTarget.value })}
          />
          {text[name].length > MAX_SECTION_CHARS * NEARLY && (
            <span className={text[name].length > MAX_SECTION_CHARS ? styles.formProblem : styles.muted} role="status">
              {t("{0} of at most {1} characters", text[name].length, MAX_SECTION_CHARS)}
            </span>
          )}
        </label>
      ))}
      {error !== null && (
        <Note tone="error" title={t("Not saved: {0}", error.title.toLowerCase())} urgent>
          <p>{error.detail}</p>
          <p>{t("Your text stays here. It is not sent by itself: save or sign it again, so that you see what you sign.")}</p>
        </Note>
      )}
      <div className="note-actions">
        {mayWrite && (
          <>
            <button type="button" className="button button-primary" disabled={!canSign} onClick={() => save(true)}>
              <Icon name="check" size={16} />{" "}{t("Sign")}
            </button>
            <button type="button" className="button" disabled={isSending || isTooLong} onClick={() => save(false)}>
              {t("Save")}
            </button>
            <button type="button" className="button button-quiet" disabled={isSending} onClick={draft}>
              {t("Draft anew{0}", prior === null ? "" : t(", with the image beside this one"))}
            </button>
          </>
        )}
        {last !== undefined && (
          <a className="button button-quiet" href={reportPdfUrl(study.id, last.version)} target="_blank" rel="noreferrer">
            <Icon name="file" size={16} />{" "}{t("PDF")}
          </a>
        )}
      </div>
      {mayWrite && text.impression.trim() === "" && (
        <p className={styles.muted}>{t("It can be signed once it has an impression.")}</p>
      )}
      {report.versions.length > 1 && (
        <details className={styles.details}>
          <summary>{t("All versions")}</summary>
          <ul>
            {report.versions.map(({ version, signed, name, at }) => (
              <li key={version}>
                <a href={reportPdfUrl(study.id, version)} target="_blank" rel="noreferrer">
                  {t("Version {0}", version)}
                </a>
                {t(", {0}, by {1}, {2}", signed ? t("signed") : t("not signed"), name, shortTime(at, new Date()))}
              </li>
            ))}
          </ul>
        </details>
      )}
    </form>
  );
}
