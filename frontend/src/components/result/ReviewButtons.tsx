import type { Verdict } from "../../api/schema";
import { isSame, othersOn, ownVerdict, type Target, targetName, verdictName } from "../../domain/review";
import { Icon, type IconName } from "../Icon";
import type { ReviewProps } from "./reviewProps";
import { t } from "../../i18n/t";
import styles from "./result.module.css";

interface ReviewButtonsProps extends ReviewProps {
  readonly target: Target;
  /** Of a finding that is called unlikely: to agree is to say that it is not there. */
  readonly unlikely?: boolean;
}

/** Right, wrong, or otherwise: what the reader says of one answer, and what others said. */
export function ReviewButtons({ review, editing, dispatch, target, unlikely = false }: ReviewButtonsProps) {
  const { say, revision, marks } = review;
  const own = ownVerdict(marks, target);
  const others = othersOn(marks, target);
  const isOpen = isSame(editing, target);
  if (say === null && others.length === 0 && own === null) {
    return null;
  }
  const judge = (verdict: Verdict): void => {
    if (say !== null && revision !== null) {
      say({ revision, verdict, target, comment: "" });
    }
  };
  const name = targetName(target);
  return (
    <div className={styles.review} role="group" aria-label={t("Review of {0}", name)} data-verdict={own ?? undefined}>
      {say !== null && (
        <>
          <Choice icon="check" pressed={own === "accepted"} onClick={() => judge("accepted")}>
            {unlikely ? t("Not there") : t("Accept")} <span className="visually-hidden">{name}</span>
          </Choice>
          <Choice icon="close" pressed={own === "rejected"} onClick={() => judge("rejected")}>
            {unlikely ? t("Missed") : t("Reject")} <span className="visually-hidden">{name}</span>
          </Choice>
          <button
            type="button"
            className="chip"
            aria-expanded={isOpen}
            data-changed={own === "modified" || undefined}
            onClick={() => dispatch({ type: "editingSet", editing: isOpen ? null : target })}
          >
            {own === "modified" ? t("Changed…") : t("Change…")} <span className="visually-hidden">{name}</span>
          </button>
        </>
      )}
      {others.length > 0 && (
        <p className={styles.muted}>
          {others.map(({ id, verdict, by }) => (
            <span key={id}>
              {t("{0} by {1}.", verdictName(verdict), by)}
            </span>
          ))}
        </p>
      )}
    </div>
  );
}

interface ChoiceProps {
  readonly icon: IconName;
  readonly pressed: boolean;
  readonly onClick: () => void;
  readonly children: React.ReactNode;
}

function Choice({ icon, pressed, onClick, children }: ChoiceProps) {
  return (
    <button type="button" className="chip" aria-pressed={pressed} onClick={onClick}>
      <Icon name={icon} size={14} /> {children}
    </button>
  );
}
