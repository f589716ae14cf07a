import type { Dispatch } from "react";

import type { ApiError } from "../../api/errors";
import type { Box, Study, StudySummary, ViewerLink } from "../../api/schema";
import { whenOf } from "../../domain/priors";
import type { Trust } from "../../domain/trust";
import type { OpenReview } from "../../state/useReview";
import { draftKey, type OpenFirstRead } from "../../state/useFirstRead";
import type { OpenWorklist } from "../../state/useWorklist";
import type { Shown, ViewerAction, SettledState } from "../../state/viewer";
import { Note } from "../controls";
import { AllFindings } from "./AllFindings";
import { FirstReadForm, FirstReads } from "./FirstReadSection";
import { Outcome } from "./Outcome";
import { PriorList } from "./PriorList";
import { Provenance } from "./Provenance";
import { Regions } from "./Regions";
import { ReportSection } from "./ReportSection";
import { ReviewSection } from "./ReviewSection";
import { StudyFacts } from "./StudyFacts";
import { TopFindings } from "./TopFindings";
import { WorklistBar } from "./WorklistBar";
import { t } from "../../i18n/t";
import { tell } from "../../i18n/tell";
import styles from "./result.module.css";

interface ResultPanelProps {
  readonly study: Study;
  readonly error: ApiError | null;
  readonly isRerunning: boolean;
  readonly onRerun: (() => void) | null;
  readonly mayExport: boolean;
  readonly viewers: readonly ViewerLink[];
  readonly worklist: OpenWorklist;
  /** Null for whoever may not. */
  readonly onDone: (() => void) | null;
  readonly review: OpenReview;
  readonly first: OpenFirstRead;
  readonly mayReport: boolean;
  readonly readsFirst: boolean;
  readonly person: string;
  readonly trust: Trust;
  readonly state: SettledState;
  readonly shown: Shown;
  readonly dispatch: Dispatch<ViewerAction>;
  readonly onFocusBox: (box: Box) => void;
  readonly allShown: boolean;
  readonly onToggleAll: () => void;
}

/** The whole result, beside the image. */
export function ResultPanel(props: ResultPanelProps) {
  const { study, review, first, trust, error, state, shown, dispatch } = props;
  const maps = { study, trust, shown, dispatch };
  const diagnosed = !first.isBlind && (study.status === "complete" || study.status === "partial");
  return (
    <aside className={styles.panel} aria-label={t("Result")} tabIndex={0}>
      {/* Another viewer may have the models' results. */}
      <StudyFacts study={study} mayExport={props.mayExport} viewers={first.isBlind ? [] : props.viewers} />
      <WorklistBar key={study.id} worklist={props.worklist} onDone={props.onDone} />
      {first.isBlind ? (
        <FirstReadForm
          key={`${study.id} first`}
          first={first}
          storedAs={draftKey(study.id, props.person)}
        />
      ) : (
        <Outcome
          study={study}
          priorities={trust.priorities}
          servicesAnswer={trust.servicesAnswer}
          isRerunning={props.isRerunning}
          onRerun={props.onRerun}
        />
      )}
      {study.calibrated === false && <NotCalibrated />}
      <Remarks title={t("About the file")} sentences={study.image.notes} />
      <Remarks title={t("About the image's quality")} sentences={study.quality?.warnings ?? []} />
      {error !== null && (
        <Note tone="error" title={error.title} urgent>
          <p>{error.detail}</p>
        </Note>
      )}
      <FirstReads first={first} />
      {diagnosed && <TopFindings {...maps} review={review} state={state} onFocusBox={props.onFocusBox} />}
      {diagnosed && (
        <Regions
          study={study}
          review={review}
          state={state}
          selected={shown.selectedBox}
          dispatch={dispatch}
          onFocus={props.onFocusBox}
        />
      )}
      {!first.isBlind && <ReviewSection {...{ study, state, review, dispatch }} />}
      {study.findings.length > 0 && (
        <AllFindings {...maps} open={props.allShown} onToggle={props.onToggleAll} />
      )}
      {diagnosed && (
        <ReportSection study={study} prior={comparable(study, state.prior)} mayWrite={props.mayReport} person={props.person} />
      )}
      <PriorList study={study} isBlind={first.isBlind} readsFirst={props.readsFirst} state={state} dispatch={dispatch} />
      <Provenance study={study} licences={trust.licences} />
    </aside>
  );
}

/** A report compares with what was before; a later image is none of its business. */
function comparable(study: Study, prior: StudySummary | null): StudySummary | null {
  return prior !== null && whenOf(study, prior) !== "later" ? prior : null;
}

/** Above everything that the classifier says: its probabilities are nobody's measurement. */
function NotCalibrated() {
  return (
    <Note tone="warning" title={t("Not calibrated here")}>
      <p>
        {t("The classifier was imported, and nobody has measured it on radiographs of this site. Its probabilities and levels are those that came with its weights.")}
      </p>
    </Note>
  );
}

interface RemarksProps {
  readonly title: string;
  readonly sentences: readonly string[];
}

/** What a reader has to know before the result, a sentence each; nothing where there is none. */
function Remarks({ title, sentences }: RemarksProps) {
  if (sentences.length === 0) {
    return null;
  }
  return (
    <Note tone="warning" title={title}>
      <ul className={styles.problems}>
        {sentences.map((sentence) => (
          <li key={sentence}>{tell(sentence)}</li>
        ))}
      </ul>
    </Note>
  );
}
