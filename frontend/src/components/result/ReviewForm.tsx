import { type Dispatch, useEffect, useId, useRef, useState } from "react";

import type { Corners, Study } from "../../api/schema";
import { displayName } from "../../domain/format";
import {
  changeOf,
  draftOf,
  type Editing,
  MAX_COMMENT_CHARS,
  reviewLabels,
  targetName,
} from "../../domain/review";
import type { OpenReview } from "../../state/useReview";
import type { ViewerAction } from "../../state/viewer";
import { Icon } from "../Icon";
import { t } from "../../i18n/t";
import styles from "./result.module.css";

interface ReviewFormProps {
  readonly study: Study;
  readonly review: OpenReview;
  readonly editing: Editing;
  /** What was drawn on the image since the form was opened. */
  readonly drawn: Corners | null;
  readonly isDrawing: boolean;
  readonly dispatch: Dispatch<ViewerAction>;
}

const SIDES = [
  ["x_min", t("Left")],
  ["y_min", t("Top")],
  ["x_max", t("Right")],
  ["y_max", t("Bottom")],
] as const;

/** Another name, another box, a comment; what is refused is said here, and stays. */
export function ReviewForm({ study, review, editing, drawn, isDrawing, dispatch }: ReviewFormProps) {
  const id = useId();
  const first = useRef<HTMLSelectElement>(null);
  const initial = draftOf(editing, study);
  const [label, setLabel] = useState(initial.label);
  const [comment, setComment] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const corners = drawn ?? initial.corners;
  useEffect(() => {
    const before = document.activeElement;
    first.current?.focus();
    return () => {
      // The field that had the focus is gone with the form; a click elsewhere is left alone.
      if (document.activeElement === document.body && before instanceof HTMLElement && before.isConnected) {
        before.focus();
      }
    };
  }, []);
  const close = (): void => dispatch({ type: "editingSet", editing: null });
  const submit = (): void => {
    const { say, revision } = review;
    if (say === null || revision === null) {
      setProblem(t("The gateway did not answer yet; nothing is lost."));
      return;
    }
    const change = changeOf(editing, { label, corners, comment }, study, revision);
    if (typeof change === "string") {
      setProblem(change);
      return;
    }
    say(change);
    close();
  };
  const mayDraw = editing.kind !== "finding";
  const title = editing.kind === "added" ? t("What was missed") : t("Change {0}", targetName(editing));
  return (
    <form
      className={styles.reviewForm}
      aria-label={title}
      noValidate
      onKeyDown={(event) => {
        if (event.key === "Escape") {
          event.stopPropagation();
          close();
        }
      }}
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <label className="field">
        <span className="field-label">{editing.kind === "added" ? t("Finding") : t("It is")}</span>
        <select ref={first} value={label} onChange={({ currentTarget }) => setLabel(currentTarget.value)}>
          {editing.kind === "added" && <option value="">{t("Only a comment")}</option>}
          {reviewLabels(study).map((name) => (
            <option key={name} value={name}>
              {displayName(name)}
            </option>
          ))}
        </select>
      </label>
      {mayDraw && (
        <fieldset className={styles.place}>
          <legend className="field-label">
            {corners === null ? t("Where, if it has a place") : t("Where, in pixels of the image")}
          </legend>
          <button
            type="button"
            className="button"
            aria-pressed={isDrawing}
            onClick={() => dispatch({ type: "drawingSet", drawing: !isDrawing })}
          >
            <Icon name="boxes" size={16} /> {isDrawing ? t("Drag on the image…") : t("Draw on the image")}
          </button>
          <div className={styles.sides}>
            {SIDES.map(([side, name]) => (
              <label key={side}>
                <span className="field-label">{name}</span>
                <input
                  type="number"
                  min={0}
                  step="any"
                  value={corners === null || Number.isNaN(corners[side]) ? "" : corners[side]}
                  onChange={({ currentTarget }) => {
                    const before = corners ?? { x_min: 0, y_min: 0, x_max: 0, y_max: 0 };
                    dispatch({ type: "drawn", corners: { ...before, [side]: currentTarget.valueAsNumber } });
                  }}
                />
              </label>
            ))}
          </div>
        </fieldset>
      )}
      <label className={styles.comment}>
        <span className="field-label">{t("Comment")}</span>
        <textarea
          rows={2}
          value={comment}
          aria-describedby={`${id}-count`}
          onChange={({ currentTarget }) => setComment(currentTarget.value)}
        />
      </label>
      <p id={`${id}-count`} className={styles.muted} data-over={comment.length > MAX_COMMENT_CHARS || undefined}>
        {t("{0} of {1} characters", comment.length, MAX_COMMENT_CHARS)}
      </p>
      {problem !== null && (
        <p className={styles.formProblem} role="alert">
          {problem}
        </p>
      )}
      <div className="note-actions">
        <button type="submit" className="button button-primary">
          {t("Keep")}
        </button>
        <button type="button" className="button button-quiet" onClick={close}>
          {t("Cancel")}
        </button>
      </div>
    </form>
  );
}
