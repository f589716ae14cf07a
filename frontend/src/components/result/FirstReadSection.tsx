import type { Finding, FirstRead } from "../../api/schema";
import { FINDINGS } from "../../domain/findings";
import { displayName, shortTime } from "../../domain/format";
import { useStoredDraft } from "../../state/useStoredDraft";
import type { OpenFirstRead } from "../../state/useFirstRead";
import { MAX_COMMENT_CHARS } from "../../domain/review";
import { Note } from "../controls";
import { t } from "../../i18n/t";
import styles from "./result.module.css";

interface Draft {
  readonly seen: readonly Finding[];
  readonly comment: string;
}

interface FirstReadFormProps {
  readonly first: OpenFirstRead;
  /** Where this browser keeps what is not given yet. */
  readonly storedAs: string;
}

/** What a reader sees before anything that a model says is shown. */
export function FirstReadForm({ first, storedAs }: FirstReadFormProps) {
  const [draft, keep] = useStoredDraft<Draft>(storedAs, { seen: [], comment: "" });
  const { comment } = draft;
  const seen = new Set(draft.seen);
  const isTooLong = comment.trim().length > MAX_COMMENT_CHARS;
  const toggle = (finding: Finding): void => {
    const next = new Set(seen);
    if (!next.delete(finding)) {
      next.add(finding);
    }
    keep({ ...draft, seen: [...next] });
  };
  return (
    <section className={styles.section} aria-labelledby="first-read">
      <h3 id="first-read">{t("What do you see?")}</h3>
      <p className={styles.muted}>
        {t("The models' answers are shown after your own, which is kept and never changed.")}
      </p>
      <form
        className={styles.firstRead}
        onSubmit={(event) => {
          event.preventDefault();
          if (!isTooLong) {
            first.give([...seen], comment);
          }
        }}
      >
        <fieldset>
          <legend className="visually-hidden">{t("Findings that you see")}</legend>
          {FINDINGS.map((finding) => (
            <label key={finding}>
              <input type="checkbox" checked={seen.has(finding)} onChange={() => toggle(finding)} />
              {displayName(finding)}
            </label>
          ))}
        </fieldset>
        <label className={styles.firstReadWords}>
          <span className="field-label">{t("Comment")}</span>
          <textarea
            rows={2}
            value={comment}
            aria-invalid={isTooLong}
            onChange={({ currentTarget }) => keep({ ...draft, comment: currentTarget.value })}
          />
        </label>
        {isTooLong && (
          <p role="alert" className={styles.formProblem}>
            {t("The comment has {0} characters; at most {1} are kept.", comment.trim().length, MAX_COMMENT_CHARS)}
          </p>
        )}
        {first.isSending && (
          <p role="status" className={styles.muted}>
            {t("Your opinion is kept in this browser and sent when the gateway answers; then the answers are shown.")}
          </p>
        )}
        <button type="submit" className="button button-primary" disabled={first.isSending || first.reads === null}>
          {seen.size === 0 ? t("I see none of these: show the answers") : t("Keep this and show the answers")}
        </button>
      </form>
      {first.error !== null && (
        <Note tone="error" title={first.error.title} urgent>
          <p>{first.error.detail}</p>
        </Note>
      )}
    </section>
  );
}

/** First opinions beside the answers, once one's own is given. */
export function FirstReads({ first }: { readonly first: OpenFirstRead }) {
  const reads = first.reads?.reads ?? [];
  if (reads.length === 0) {
    return null;
  }
  return (
    <section className={styles.section} aria-labelledby="first-reads">
      <h3 id="first-reads">{t("First opinions")}</h3>
      <ul className={styles.marks}>
        {reads.map((read) => (
          <li key={read.by} className={styles.markRow} data-mine={read.mine}>
            <span>
              {seenText(read)}{" "}
              <span className={styles.muted}>
                {read.mine ? t("by you") : t("by {0}", read.by)}, {shortTime(read.at, new Date())}
              </span>
            </span>
            {read.comment !== "" && <p className={styles.words}>{read.comment}</p>}
          </li>
        ))}
      </ul>
    </section>
  );
}

function seenText({ findings }: FirstRead): string {
  return findings.length === 0 ? t("None of the findings") : findings.map(displayName).join(", ");
}
