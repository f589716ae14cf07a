import type { ApiError } from "../api/errors";
import { Note } from "./controls";
import { DriftPage } from "./drift/DriftPage";
import type { PageState } from "./pageState";
import styles from "./page/page.module.css";
import { ResultPanel } from "./result/ResultPanel";
import { Welcome } from "./upload/Welcome";
import { Viewer } from "./viewer/Viewer";

/** The open study or page, or what stands in its place. */
export function Workspace({ session, state, dispatch, panels, commands, picker }: PageState) {
  const { route, open, system } = session;
  const { study } = open;
  if (route.isDrift) {
    return <DriftPage />;
  }
  if (route.studyId === null) {
    const choose = session.may.upload ? () => picker.current?.click() : null;
    const add = (file: File): void => session.uploads.queue.add([file]);
    return <Welcome system={system.status} onChooseFiles={choose} onFile={add} />;
  }
  if (study === null) {
    return <NotOpened error={open.error} onRetry={open.reload} onHome={() => route.open(null)} />;
  }
  return (
    <>
      <Viewer study={study} state={state} dispatch={dispatch} commands={commands} />
      <ResultPanel
        study={study}
        error={open.error}
        isRerunning={open.isRerunning}
        onRerun={session.rerun}
        mayExport={session.may.export}
        state={state}
        dispatch={dispatch}
        onFocusBox={(box) => commands.current?.focus(box)}
        allShown={panels.allShown}
        onToggleAll={() => panels.setAllShown(!panels.allShown)}
      />
    </>
  );
}

interface NotOpenedProps {
  readonly error: ApiError | null;
  readonly onRetry: () => void;
  readonly onHome: () => void;
}

function NotOpened({ error, onRetry, onHome }: NotOpenedProps) {
  return (
    <section className={styles.notOpened} aria-label="Study">
      {error === null ? (
        <p role="status">Opening the study…</p>
      ) : (
        <Note
          tone="error"
          title={error.title}
          urgent
          actions={
            <>
              <button type="button" className="button" onClick={onRetry}>
                Try again
              </button>
              <button type="button" className="button button-quiet" onClick={onHome}>
                To the start page
              </button>
            </>
          }
        >
          <p>{error.detail}</p>
        </Note>
      )}
    </section>
  );
}
