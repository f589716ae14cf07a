import type { Dispatch } from "react";

import type { ApiError } from "../../api/errors";
import type { Box, Study } from "../../api/schema";
import type { ViewerAction, ViewerState } from "../../state/viewer";
import { Note } from "../controls";
import { AllFindings } from "./AllFindings";
import { Outcome } from "./Outcome";
import { Provenance } from "./Provenance";
import { Regions } from "./Regions";
import { StudyFacts } from "./StudyFacts";
import { TopFindings } from "./TopFindings";
import styles from "./result.module.css";

interface ResultPanelProps {
  readonly study: Study;
  readonly error: ApiError | null;
  readonly isRerunning: boolean;
  readonly onRerun: (() => void) | null;
  readonly mayExport: boolean;
  readonly state: ViewerState;
  readonly dispatch: Dispatch<ViewerAction>;
  readonly onFocusBox: (box: Box) => void;
  readonly allShown: boolean;
  readonly onToggleAll: () => void;
}

/** The whole result, beside the image. */
export function ResultPanel(props: ResultPanelProps) {
  const { study, error, state, dispatch } = props;
  const diagnosed = study.status === "complete" || study.status === "partial";
  return (
    <aside className={styles.panel} aria-label="Result" tabIndex={0}>
      <StudyFacts study={study} mayExport={props.mayExport} />
      <Outcome study={study} isRerunning={props.isRerunning} onRerun={props.onRerun} />
      {study.image.notes.length > 0 && (
        <Note tone="warning" title="About the file">
          <ul className={styles.problems}>
            {study.image.notes.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </Note>
      )}
      {error !== null && (
        <Note tone="error" title={error.title} urgent>
          <p>{error.detail}</p>
        </Note>
      )}
      {study.top_findings.length > 0 && (
        <TopFindings
          study={study}
          heatmap={state.heatmap}
          onHeatmap={(finding) => dispatch({ type: "heatmapSet", finding })}
        />
      )}
      {diagnosed && (
        <Regions study={study} state={state} dispatch={dispatch} onFocus={props.onFocusBox} />
      )}
      {study.findings.length > 0 && (
        <AllFindings findings={study.findings} open={props.allShown} onToggle={props.onToggleAll} />
      )}
      <Provenance study={study} />
    </aside>
  );
}
