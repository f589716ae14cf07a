import { type Dispatch, useEffect } from "react";

import type { Study, StudySummary } from "../../api/schema";
import { firstPrior, whenOf, whenText } from "../../domain/priors";
import { isKeptBack, shortId } from "../../domain/studies";
import { headline } from "../../domain/triage";
import type { ViewerAction, SettledState } from "../../state/viewer";
import { usePriors } from "../../state/usePriors";
import { t } from "../../i18n/t";
import { Changes } from "./Changes";
import styles from "./result.module.css";

interface PriorListProps {
  readonly study: Study;
  /** While the study's own answers are hidden. */
  readonly isBlind: boolean;
  /** Whether those of others are hidden until somebody has read them. */
  readonly readsFirst: boolean;
  readonly state: SettledState;
  readonly dispatch: Dispatch<ViewerAction>;
}

/** Other images of the same patient, on demand, to be laid beside the current one. */
export function PriorList({ study, isBlind, readsFirst, state, dispatch }: PriorListProps) {
  const { priorsShown, prior } = state;
  const { studies, isWhole } = usePriors(study, priorsShown);
  const latest = firstPrior(study, studies);
  const hasChosen = prior !== null;
  useEffect(() => {
    if (priorsShown && isWhole && latest !== null && !hasChosen) {
      dispatch({ type: "priorSet", prior: latest });
    }
    // Once, when the list is through: whoever closes the image does not want it back.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [priorsShown, isWhole]);
  if (study.patient.patient_id === null) {
    return null;
  }
  return (
    <section className={styles.section} aria-label={t("Other images of this patient")}>
      <button
        type="button"
        className={styles.disclosure}
        aria-expanded={priorsShown}
        aria-keyshortcuts="p"
        onClick={() => dispatch({ type: "priorsToggled" })}
      >
        <span aria-hidden="true">{priorsShown ? "▾" : "▸"}</span>{" "}{t("Other images of this patient")}
      </button>
      {priorsShown && (
        <>
          <p className={styles.muted} role="status">
            {statusOf(studies.length, isWhole)}
          </p>
          <ul className={styles.boxes}>
            {studies.map((one) => (
              <li key={one.id}>
                <PriorRow
                  study={one}
                  when={whenText(study, one)}
                  isHidden={isBlind || isKeptBack(one, readsFirst)}
                  shown={prior?.id === one.id}
                  dispatch={dispatch}
                />
              </li>
            ))}
          </ul>
          {prior !== null && !isBlind && !isKeptBack(prior, readsFirst) && whenOf(study, prior) !== "later" && (
            <Changes key={prior.id} study={study} priorId={prior.id} />
          )}
        </>
      )}
    </section>
  );
}

function statusOf(found: number, isWhole: boolean): string {
  if (!isWhole) {
    return t("Looking through the list…");
  }
  return found === 0 ? t("No other image has this patient ID and issuer.") : t("By the same patient ID and issuer.");
}

function headlineOf(study: StudySummary): string {
  return study.triage === null ? t("Not analysed") : headline(study);
}

interface PriorRowProps {
  readonly study: StudySummary;
  readonly when: string;
  /** Whether what the models say of it is kept back. */
  readonly isHidden: boolean;
  readonly shown: boolean;
  readonly dispatch: Dispatch<ViewerAction>;
}

function PriorRow({ study, when, isHidden, shown, dispatch }: PriorRowProps) {
  return (
    <button
      type="button"
      className={styles.region}
      aria-pressed={shown}
      onClick={() => dispatch({ type: "priorSet", prior: shown ? null : study })}
    >
      <span>{when}</span>
      <span className={styles.muted}>{isHidden ? t("Read first") : headlineOf(study)}</span>
      <span className={styles.coordinates}>{shortId(study.id)}</span>
    </button>
  );
}
