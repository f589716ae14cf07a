import type { Study } from "../../api/schema";
import { count } from "../../domain/format";
import { type Mark, type Outgoing, saidText } from "../../domain/review";
import { useLasting } from "../../state/useLasting";
import type { SettledState } from "../../state/viewer";
import { Note } from "../controls";
import { Icon } from "../Icon";
import { ReviewForm } from "./ReviewForm";
import type { ReviewProps } from "./reviewProps";
import { t } from "../../i18n/t";
import styles from "./result.module.css";

interface ReviewSectionProps extends Omit<ReviewProps, "editing"> {
  readonly study: Study;
  readonly state: SettledState;
}

/** What readers said of the study, what was missed, and what is not sent yet. */
export function ReviewSection({ study, state, review, dispatch }: ReviewSectionProps) {
  const { marks, say, undo, refused, error } = review;
  const waiting = useLasting(review.waiting);
  const { editing } = state;
  if (say === null && marks.length === 0 && error === null) {
    return null;
  }
  return (
    <section className={styles.section} aria-labelledby="review">
      <h3 id="review">
        {t("Review")}{" "}<span className={styles.muted}>{marks.length}</span>
      </h3>
      <p className="visually-hidden" role="status">
        {review.announcement}
      </p>
      {error !== null && <p className={styles.muted}>{t("What readers said is not known: {0}", error.detail)}</p>}
      {waiting > 0 && (
        <p className={styles.muted} role="status">
          {t("{0} not sent yet; kept in this browser until the gateway answers.", count(waiting, "entry", "entries"))}
        </p>
      )}
      {refused.map((item) => (
        <Refused key={item.entryId} item={item} review={review} />
      ))}
      <ul className={styles.marks}>
        {marks
          .filter(({ state: sent }) => sent !== "refused")
          .map((mark) => (
            <MarkRow key={mark.id} mark={mark} onTakeBack={say === null ? null : () => review.takeBack(mark)} />
          ))}
      </ul>
      {say !== null && (
        <div className="note-actions">
          <button
            type="button"
            className="button"
            aria-keyshortcuts="c"
            aria-expanded={editing?.kind === "added"}
            onClick={() => dispatch({ type: "editingSet", editing: { kind: "added" } })}
          >
            <Icon name="plus" size={16} />{" "}{t("Add what was missed")}
          </button>
          {undo !== null && (
            <button type="button" className="button button-quiet" aria-keyshortcuts="z" onClick={undo}>
              <Icon name="reset" size={16} />{" "}{t("Undo")}
            </button>
          )}
        </div>
      )}
      {say !== null && editing?.kind === "added" && (
        <ReviewForm
          key={study.id}
          {...{ study, review, editing, dispatch }}
          drawn={state.drawn}
          isDrawing={state.tool === "draw"}
        />
      )}
    </section>
  );
}

function MarkRow({ mark, onTakeBack }: { readonly mark: Mark; readonly onTakeBack: (() => void) | null }) {
  return (
    <li className={styles.markRow} data-mine={mark.mine}>
      <span>
        {saidText(mark)}{" "}
        <span className={styles.muted}>
          {mark.mine ? t("by you") : t("by {0}", mark.by)}
          {mark.state === "waiting" && t(", not sent yet")}
        </span>
      </span>
      {mark.mine && onTakeBack !== null && (
        <button type="button" className="link" aria-label={t("Take back: {0}", saidText(mark))} onClick={onTakeBack}>
          {t("Take back")}
        </button>
      )}
      {mark.comment !== "" && <p className={styles.words}>{mark.comment}</p>}
    </li>
  );
}

/** The text is not lost: it is shown, and can be said again of what the study is now. */
function Refused({ item, review }: { readonly item: Outgoing; readonly review: ReviewProps["review"] }) {
  const { change, refusal } = item;
  if (change === null || refusal === null) {
    return null;
  }
  const said = saidText({ label: change.label ?? null, target: change.target ?? null, verdict: change.verdict });
  return (
    <Note
      tone="error"
      title={t("Not kept. {0}", said)}
      urgent
      actions={
        <>
          <button type="button" className="button" onClick={() => review.sayAgain(item)}>
            {t("Say it again")}
          </button>
          <button type="button" className="button button-quiet" onClick={() => review.discard(item.entryId)}>
            {t("Discard")}
          </button>
        </>
      }
    >
      <p>{refusal.detail}</p>
      {change.comment !== "" && <p className={styles.words}>{change.comment}</p>}
    </Note>
  );
}
