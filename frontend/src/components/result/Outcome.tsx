import type { MeasuredPriority, Study, StudyProblem, Triage } from "../../api/schema";
import { inPercent, percent } from "../../domain/format";
import { canRerun, PRIORITY_NAMES, roleName } from "../../domain/studies";
import { priorityMeaning } from "../../domain/triage";
import { Note } from "../controls";
import { Icon } from "../Icon";
import { t } from "../../i18n/t";
import { tell } from "../../i18n/tell";
import styles from "./result.module.css";

interface OutcomeProps {
  readonly study: Study;
  /** What priorities were measured to mean; empty where nobody measured it. */
  readonly priorities: readonly MeasuredPriority[];
  /** Whether it is known which models run; without, nor what was measured of them. */
  readonly servicesAnswer: boolean;
  readonly isRerunning: boolean;
  /** Null for whoever may not. */
  readonly onRerun: (() => void) | null;
}

/** What came of the analysis: how urgent it is, what is missing from it, or why there is none. */
export function Outcome(props: OutcomeProps) {
  const { study, priorities, servicesAnswer } = props;
  return (
    <>
      {study.triage !== null && <TriageCard triage={study.triage} priorities={priorities} servicesAnswer={servicesAnswer} />}
      {study.status === "rejected" && <Refusal study={study} />}
      {canRerun(study) && <MissingServices {...props} />}
    </>
  );
}

interface TriageCardProps {
  readonly triage: Triage;
  readonly priorities: readonly MeasuredPriority[];
  readonly servicesAnswer: boolean;
}

/** The word, why, and what the word was measured to mean. */
function TriageCard({ triage, priorities, servicesAnswer }: TriageCardProps) {
  const unknown = servicesAnswer
    ? t("What this priority means was not measured for these models and budgets.")
    : t("What this priority means is known again once both inference services answer.");
  const meaning = priorityMeaning(triage.priority, priorities) ?? unknown;
  return (
    <section className={styles.triage} data-priority={triage.priority} aria-label={t("Priority")}>
      <p className={styles.priority}>
        <Icon name={triage.priority} size={24} /> {PRIORITY_NAMES[triage.priority]}
      </p>
      <p className={styles.reason}>{inPercent(tell(triage.reason))}</p>
      <p className={styles.muted}>{meaning}</p>
    </section>
  );
}

function Refusal({ study }: { readonly study: Study }) {
  const { score, threshold, reason } = study.ood;
  return (
    <Note tone="warning" title={t("Rejected: not analysed")}>
      <p>{reason === null ? t("This does not look like a frontal chest radiograph.") : tell(reason)}</p>
      {score !== null && (
        <p>
          {t("Likeness to a frontal chest radiograph:")}{" "}<strong>{percent(score)}</strong>
          {threshold !== null && <>{t(", needed: {0}", percent(threshold))}</>}.
        </p>
      )}
      <p className={styles.muted}>{t("Nothing was diagnosed in this image.")}</p>
    </Note>
  );
}

const KINDS: Record<string, string> = {
  unreachable: t("could not be reached"),
  timeout: t("did not respond in time"),
  overloaded: t("has too much to do"),
  error: t("responded with an error"),
  "invalid-answer": t("gave an invalid response"),
};

function MissingServices({ study, isRerunning, onRerun }: OutcomeProps) {
  const failed = study.status === "failed";
  const names = study.problems.map(({ service }) => roleName(service).toLowerCase());
  const title = failed
    ? t("Not analysed: both models are unavailable")
    : t("Partial result: the {0} is missing", names.join(t(" and the ")));
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
            <Icon name="reset" size={16} /> {isRerunning ? t("Analysing…") : t("Analyse again")}
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
      {failed && <p className={styles.muted}>{t("The image is kept and can be analysed again.")}</p>}
    </Note>
  );
}

function Problem({ problem }: { readonly problem: StudyProblem }) {
  return (
    <>
      {t("The {0} {1}.", roleName(problem.service).toLowerCase(), KINDS[problem.kind] ?? t("failed"))}
      <span className={styles.muted}>{tell(problem.detail)}</span>
    </>
  );
}
