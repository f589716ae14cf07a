import type { ReactNode } from "react";

import type { Asked } from "../../state/useAsked";
import { Note } from "../controls";
import { t } from "../../i18n/t";
import styles from "./page.module.css";

interface AskedPageProps<Answer> {
  readonly title: string;
  readonly asked: Asked<Answer>;
  /** While nothing was heard yet. */
  readonly waiting: string;
  /** What can be chosen, whether there is an answer or not. */
  readonly choice?: ReactNode;
  readonly children: (answer: Answer) => ReactNode;
}

/** What the answer says in a sentence, and on what it rests. */
export const SUMMARY = styles.summary;
export const BASIS = styles.basis;

/** A page of one answer of the gateway: its title, what went wrong, and the answer. */
export function AskedPage<Answer>({ title, asked, waiting, choice, children }: AskedPageProps<Answer>) {
  const { answer, error, reload } = asked;
  return (
    <section className={styles.asked} aria-labelledby="asked-title">
      <h2 id="asked-title">{title}</h2>
      {error !== null && (
        <Note
          tone="error"
          title={error.title}
          urgent
          actions={
            <button type="button" className="button" onClick={reload}>
              {t("Try again")}
            </button>
          }
        >
          <p>{error.detail}</p>
        </Note>
      )}
      {choice}
      {answer === null && error === null && <p role="status">{waiting}</p>}
      {answer !== null && children(answer)}
    </section>
  );
}
