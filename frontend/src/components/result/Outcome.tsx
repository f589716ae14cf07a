import type { Study, StudyProblem, Triage } from "../../api/schema";
import { percent } from "../../domain/format";
import { canRerun, PRIORITY_NAMES, roleName } from "../../domain/studies";
import { Note } from "../controls";
import { Icon } from "../Icon";
import styles from "./result.module.css";

interface OutcomeProps {
  readonly study: Study;
  readonly isRerunning: boolean;
  /** Null for whoever may not. */
  readonly onRerun: (() => void) | null;
}

/** What came of the analysis: how urgent it is, what is missing from it, or why there is none. */
export function Outcome({ study, isRerunning, onRerun }: OutcomeProps) {
  return (
    <>
      {study.triage !== null && <TriageCard triage={study.triage} />}
      {study.status === "rejected" && <Refusal study={study} />}
      {canRerun(study) && (
        <MissingServices study={study} isRerunning={isRerunning} onRerun={onRerun} />
      )}
    </>
  );
}

function TriageCard({ triage }: { readonly triage: Triage }) {
  return (
    <section className={styles.triage} data-priority={triage.priority} aria-label="Priority">
      <p className={styles.priority}>
        <Icon name={triage.priority} size={24} /> {PRIORITY_NAMES[triage.priority]}
      </p>
      <p className={styles.reason}>{triage.reason}</p>
    </section>
  );
}

function Refusal({ study }: { readonly study: Study }) {
  const { score, threshold, reason } = study.ood;
  return (
    <Note tone="warning" title="Rejected: not analysed">
      <p>{reason ?? "This does not look like a frontal chest radiograph."}</p>
      {score !== null && (
        <p>
          Likeness to a frontal chest radiograph: <strong>{percent(score)}</strong>
          {threshold !== null && <>, needed: {percent(threshold)}</>}.
        </p>
      )}
      <p className={styles.muted}>Nothing was diagnosed in this image.</p>
    </Note>
  );
}

const KINDS: Record<string, string> = {
  unreachable: "could not be reached",
  timeout: "did not respond in time",
  overloaded: "has too much to do",
  error: "responded with an error",
  "invalid-answer": "gave an invalid response",
};

function MissingServices({ study, isRerunning, onRerun }: OutcomeProps) {
  const failed = study.status === "failed";
  const names = study.problems.map(({ service }) => roleName(service).toLowerCase());
  const title = failed
    ? "Not analysed: both models are unavailable"
    : `Partial result: the ${names.join(" and the ")} is missing`;
  return (
    <Note
      tone={failed ? "error" : "warning"}
      title={title}
      actions={
        onRerun === null ? undefined : (
          <button
            type="button"
            className="button button-primary"
            aria-keyshortcuts="g"
            disabled={isRerunning}
            onClick={onRerun}
          >
            <Icon name="reset" size={16} /> {isRerunning ? "Analysing…" : "Analyse again"}
          </button>
        )
      }
    >
      <ul className={styles.problems}>
        {study.problems.map((problem) => (
          <li key={problem.service}>
            <Problem problem={problem} />
          </li>
        ))}
      </ul>
      {failed && <p className={styles.muted}>The image is kept and can be analysed again.</p>}
    </Note>
  );
}

function Problem({ problem }: { readonly problem: StudyProblem }) {
  return (
    <>
      The {roleName(problem.service).toLowerCase()} {KINDS[problem.kind] ?? "failed"}.{" "}
      <span className={styles.muted}>{problem.detail}</span>
    </>
  );
}
