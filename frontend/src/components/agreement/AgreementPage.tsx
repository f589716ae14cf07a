import { useCallback, useState } from "react";

import { getAgreement } from "../../api/client";
import type { AgreementChange, AgreementReport, AgreementShare, FirstReadShare, ReportShare } from "../../api/schema";
import { COCO_URL, CORRECTIONS_URL, FIRST_READS_URL } from "../../api/urls";
import { displayName, percent } from "../../domain/format";
import { useAsked } from "../../state/useAsked";
import { Note } from "../controls";
import { Icon } from "../Icon";
import { AskedPage, BASIS, SUMMARY } from "../page/AskedPage";
import { t } from "../../i18n/t";
import styles from "./agreement.module.css";

const MONTHS = [1, 3, 12, 36] as const;

/** How often readers agreed with the models, and where that has changed. */
export function AgreementPage() {
  const [months, setMonths] = useState<number>(12);
  const ask = useCallback((signal: AbortSignal) => getAgreement(months, signal), [months]);
  return (
    <AskedPage
      title={t("Agreement")}
      asked={useAsked(ask)}
      waiting={t("Counting…")}
      choice={
        <div className={styles.choice}>
          <label className="field">
            <span className="field-label">{t("Months")}</span>
            <select value={months} onChange={({ currentTarget }) => setMonths(Number(currentTarget.value))}>
              {MONTHS.map((n) => (
                <option key={n} value={n}>
                  {n === 1 ? t("this month") : t("the last {0}", n)}
                </option>
              ))}
            </select>
          </label>
          <a className="button button-quiet" href={CORRECTIONS_URL} download>
            <Icon name="download" />{" "}{t("Corrections (CSV)")}
          </a>
          <a className="button button-quiet" href={COCO_URL} download>
            <Icon name="download" />{" "}{t("Regions (COCO)")}
          </a>
          <a className="button button-quiet" href={FIRST_READS_URL} download>
            <Icon name="download" />{" "}{t("First opinions (CSV)")}
          </a>
        </div>
      }
    >
      {(report) => <Report report={report} />}
    </AskedPage>
  );
}

function Report({ report }: { readonly report: AgreementReport }) {
  return (
    <>
      <p className={SUMMARY} role="status">
        {report.summary}
      </p>
      <p className={BASIS}>
        {t("Of the answers that a reader accepted, rejected, changed or added, the share that was accepted, with its {0} interval. Readers judge what they doubt more often than the rest, so look at how the shares change, not at how high they are. A month of fewer than {1} judged answers is not compared.", percent(report.rules.confidence), report.rules.min_judged)}
      </p>
      {report.changes.map((change) => (
        <Change key={change.name} change={change} />
      ))}
      <div className={styles.tables}>
        <Shares title={t("By finding")} shares={report.by_finding} name={displayName} />
        <Shares title={t("By month")} shares={sinceFirst(report.by_month)} />
        <Shares title={t("By reader")} shares={report.by_reader} />
        <Shares title={t("By model")} shares={report.by_model} />
        <FirstOpinions shares={report.first_reads} />
        <SignedReports shares={report.reports} />
      </div>
    </>
  );
}

/** From the first month on in which anything was judged. */
function sinceFirst(months: readonly AgreementShare[]): readonly AgreementShare[] {
  const first = months.findIndex(({ judged }) => judged > 0);
  return first === -1 ? [] : months.slice(first);
}

/** A month that differs from those before, by more than chance explains. */
function Change({ change }: { readonly change: AgreementChange }) {
  const { name, month, share, share_before, judged } = change;
  const fell = change.change < 0;
  const subject = displayName(name).toLowerCase();
  const title =
    name === "all"
      ? fell ? t("Agreement has fallen") : t("Agreement has risen")
      : fell ? t("Agreement on {0} has fallen", subject) : t("Agreement on {0} has risen", subject);
  return (
    <Note tone={fell ? "error" : "calm"} title={title}>
      <p>
        {t("{0} of {1} answers in {2}, {3} before.", percent(share), judged, month, percent(share_before))}
      </p>
    </Note>
  );
}

interface SharesProps {
  readonly title: string;
  readonly shares: readonly AgreementShare[];
  readonly name?: (name: string) => string;
}

function Shares({ title, shares, name = (text) => text }: SharesProps) {
  if (shares.length === 0) {
    return null;
  }
  return (
    <div className={styles.scroll}>
      <table>
        <caption>{title}</caption>
        <thead>
          <tr>
            <th scope="col">
              <span className="visually-hidden">{title}</span>
            </th>
            <th scope="col">{t("Agreed")}</th>
            <th scope="col">
              <span className="visually-hidden">{t("Interval, drawn")}</span>
            </th>
            <th scope="col">{t("Interval")}</th>
            <th scope="col">{t("Judged")}</th>
            <th scope="col">{t("Rejected")}</th>
            <th scope="col">{t("Changed")}</th>
            <th scope="col">{t("Added")}</th>
          </tr>
        </thead>
        <tbody>
          {shares.map((share) => (
            <ShareRow key={share.name} share={share} name={name(share.name)} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What readers saw before any answer was shown, beside what the classifier called likely. */
function FirstOpinions({ shares }: { readonly shares: readonly FirstReadShare[] }) {
  return (
    <Compared
      title={t("First opinions, before the answers")}
      counted={t("Read")}
      alone={t("Reader alone")}
      rows={shares.map((share) => ({ ...share, n: share.read, other: share.reader_only }))}
    />
  );
}

/** What the hospital's signed reports say, likewise. */
function SignedReports({ shares }: { readonly shares: readonly ReportShare[] }) {
  return (
    <Compared
      title={t("Signed reports")}
      counted={t("Reports")}
      alone={t("Report alone")}
      rows={shares.map((share) => ({ ...share, n: share.reports, other: share.report_only }))}
    />
  );
}

interface ComparedRow {
  readonly finding: string;
  readonly share: number;
  readonly low: number;
  readonly high: number;
  readonly n: number;
  readonly both: number;
  readonly other: number;
  readonly model_only: number;
}

interface ComparedProps {
  readonly title: string;
  readonly counted: string;
  readonly alone: string;
  readonly rows: readonly ComparedRow[];
}

/** Another opinion beside the classifier's, by finding. */
function Compared({ title, counted, alone, rows }: ComparedProps) {
  if (rows.length === 0) {
    return null;
  }
  return (
    <div className={styles.scroll}>
      <table>
        <caption>{title}</caption>
        <thead>
          <tr>
            <th scope="col">{t("Finding")}</th>
            <th scope="col">{t("Agreed")}</th>
            <th scope="col">{t("Interval")}</th>
            <th scope="col">{counted}</th>
            <th scope="col">{t("Both")}</th>
            <th scope="col">{alone}</th>
            <th scope="col">{t("Model alone")}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ finding, share, low, high, n, both, other, model_only }) => (
            <tr key={finding} data-name={finding}>
              <th scope="row">{displayName(finding)}</th>
              <td>{percent(share)}</td>
              <td>{t("{0} to {1}", percent(low), percent(high))}</td>
              <td>{n}</td>
              <td>{both}</td>
              <td>{other}</td>
              <td>{model_only}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function ShareRow({ share, name }: { readonly share: AgreementShare; readonly name: string }) {
  const { low, high, judged, rejected, modified, added } = share;
  const isKnown = share.share !== null;
  return (
    <tr data-name={share.name}>
      <th scope="row">{name}</th>
      <td>{share.share === null ? "–" : percent(share.share)}</td>
      <td className={styles.drawn}>
        {share.share !== null && (
          <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
            <rect className={styles.interval} x={low * 100} y={3} width={(high - low) * 100} height={4} />
            <rect className={styles.point} x={share.share * 100 - 0.75} y={0} width={1.5} height={10} />
          </svg>
        )}
      </td>
      <td>{isKnown ? t("{0} to {1}", percent(low), percent(high)) : "–"}</td>
      <td>{judged}</td>
      <td>{rejected}</td>
      <td>{modified}</td>
      <td>{added}</td>
    </tr>
  );
}
