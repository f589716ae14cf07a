import { useRef, useState } from "react";

import { count, fullTime, shortTime } from "../../domain/format";
import { WORKLIST_NAMES } from "../../domain/studies";
import { useLasting } from "../../state/useLasting";
import type { OpenWorklist } from "../../state/useWorklist";
import { Note } from "../controls";
import { Icon } from "../Icon";
import { t } from "../../i18n/t";
import styles from "./result.module.css";

interface WorklistBarProps {
  readonly worklist: OpenWorklist;
  /** Null for whoever may not. */
  readonly onDone: (() => void) | null;
}

/** How far people are with this study, and the button that ends it. */
export function WorklistBar({ worklist: { worklist, refusal, waiting: unsent, set }, onDone }: WorklistBarProps) {
  const waiting = useLasting(unsent);
  const [isAssigning, setAssigning] = useState(false);
  const opener = useRef<HTMLButtonElement>(null);
  const close = (): void => {
    setAssigning(false);
    // The field that had the focus is gone.
    opener.current?.focus();
  };
  if (worklist === null) {
    return null;
  }
  const { state, by, at, to } = worklist;
  const isDone = state === "done";
  return (
    <section aria-label={t("Worklist")} className={styles.section}>
      <div className={styles.worklist} data-state={state}>
        <p role="status">
          <strong>
            {WORKLIST_NAMES[state]}
            {to === null ? "" : t(" to {0}", to)}
          </strong>
          {at !== null && (
            <span className={styles.muted} title={fullTime(at)}>
              {" "}
              {by === null ? "" : t("by {0}, ", by)}
              {shortTime(at, new Date())}
            </span>
          )}
        </p>
        {set !== null && !isDone && (
          <button
            type="button"
            ref={opener}
            className="button button-quiet"
            aria-expanded={isAssigning}
            onClick={() => setAssigning(!isAssigning)}
          >
            {t("Assign…")}
          </button>
        )}
        {onDone !== null && (
          <button
            type="button"
            className="button"
            aria-keyshortcuts="d"
            title={isDone ? t("Not done yet (D)") : t("Done, and on to the next (D)")}
            onClick={onDone}
          >
            <Icon name={isDone ? "reset" : "check"} size={16} /> {isDone ? t("Not done") : t("Done")}
          </button>
        )}
      </div>
      {isAssigning && set !== null && (
        <AssignForm
          onAssign={(name) => {
            set("assigned", name === "" ? undefined : name);
            close();
          }}
          onCancel={close}
        />
      )}
      {waiting > 0 && (
        <p className={styles.muted} role="status">
          {t("{0} not sent yet; kept in this browser until the gateway answers.", count(waiting, "state"))}
        </p>
      )}
      {refusal !== null && (
        <Note tone="error" title={t("The state was not kept")} urgent>
          <p>{refusal.detail}</p>
        </Note>
      )}
    </section>
  );
}

interface AssignFormProps {
  readonly onAssign: (name: string) => void;
  readonly onCancel: () => void;
}

function AssignForm({ onAssign, onCancel }: AssignFormProps) {
  const [name, setName] = useState("");
  return (
    <form
      className={styles.assign}
      onKeyDown={({ key }) => {
        if (key === "Escape") {
          onCancel();
        }
      }}
      onSubmit={(event) => {
        event.preventDefault();
        onAssign(name.trim());
      }}
    >
      <label className="field">
        <span className="field-label">{t("To")}</span>
        <input
          type="text"
          maxLength={255}
          value={name}
          placeholder={t("me")}
          autoFocus
          onChange={({ currentTarget }) => setName(currentTarget.value)}
        />
      </label>
      <button type="submit" className="button">
        {t("Assign")}
      </button>
    </form>
  );
}
