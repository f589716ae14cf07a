import { type Dispatch, memo, useEffect, useEffectEvent, useReducer, useRef } from "react";

import type { ApiError } from "../api/errors";
import type { Study } from "../api/schema";
import { Note } from "./controls";
import { AgreementPage } from "./agreement/AgreementPage";
import { DriftPage } from "./drift/DriftPage";
import { isAlike } from "../domain/alike";
import { type Outgoing, saidText } from "../domain/review";
import type { OpenReview } from "../state/useReview";
import { useShortcuts } from "../state/useShortcuts";
import { INITIAL_VIEWER, isSettled, type SettledState, shownOf, type ViewerAction, viewerReducer } from "../state/viewer";
import type { PageParts, PageState } from "./pageState";
import { t } from "../i18n/t";
import styles from "./page/page.module.css";
import { finish, runCommand } from "./runCommand";
import { ResultPanel } from "./result/ResultPanel";
import { Welcome } from "./upload/Welcome";
import { Viewer } from "./viewer/Viewer";
import type { ViewCommands } from "./viewer/viewCommands";

/** The open study or page, or what stands in its place. */
export function Workspace(parts: PageParts) {
  const { session, trust, panels, picker } = parts;
  const [state, dispatch] = useReducer(viewerReducer, INITIAL_VIEWER);
  const commands = useRef<ViewCommands | null>(null);
  const { route, open, system } = session;
  const { study } = open;
  const shown = shownOf(state, study, trust.mapsAreEvidence);
  const page = { ...parts, state, shown, dispatch, commands };
  useNewStudy(route.studyId, panels.overlayFirst, dispatch);
  useShortcuts(panels.accepted && panels.shortcutsOn, (command) => runCommand(command, page));
  if (route.isDrift) {
    return <DriftPage />;
  }
  if (route.isAgreement) {
    return <AgreementPage />;
  }
  if (route.unknown !== null) {
    return <Nothing path={route.unknown} onHome={() => route.open(null)} />;
  }
  if (route.studyId === null) {
    const choose = session.may.upload ? () => picker.current?.click() : null;
    const add = (file: File): void => session.uploads.queue.add([file]);
    return <Welcome system={system.status} onChooseFiles={choose} onFile={add} />;
  }
  if (study === null) {
    return <NotOpened error={open.error} studyId={route.studyId} review={session.review} onRetry={open.reload} onHome={() => route.open(null)} />;
  }
  return (
    <>
      <Viewer {...{ study, trust, review: session.review, own: session.own, isBlind: session.first.isBlind, readsFirst: session.may.readFirst, state, shown, dispatch, commands }} />
      <Beside {...{ study, session, panels, trust, state, shown, dispatch, commands }} />
    </>
  );
}

interface BesideProps extends Omit<PageState, "state" | "picker"> {
  readonly study: Study;
  readonly state: SettledState;
}

/** The result beside the image. It need not be drawn anew for each move of a pointer over the image. */
const Beside = memo(function Beside({ study, session, panels, trust, state, shown, dispatch, commands }: BesideProps) {
  const { open, system } = session;
  return (
    <ResultPanel
      study={study}
      error={open.error}
      isRerunning={open.isRerunning}
      onRerun={session.rerun}
      mayExport={session.may.export}
      viewers={system.status?.viewer_links ?? []}
      worklist={session.worklist}
      onDone={session.worklist.set === null ? null : () => finish(session)}
      review={session.review}
      first={session.first}
      mayReport={session.may.report}
      readsFirst={session.may.readFirst}
      person={session.person}
      trust={trust}
      state={state}
      shown={shown}
      dispatch={dispatch}
      onFocusBox={(box) => commands.current?.focus(box)}
      allShown={panels.allShown}
      onToggleAll={() => panels.setAllShown(!panels.allShown)}
    />
  );
}, isStill);

function isStill(before: BesideProps, now: BesideProps): boolean {
  const { state, shown } = before;
  return isSettled(state, now.state) && isAlike(shown, now.shown) && isAlike(before, { ...now, state, shown });
}

/** Another study starts with its own greys and boxes. */
function useNewStudy(opened: string | null, overlayFirst: boolean, dispatch: Dispatch<ViewerAction>): void {
  // The setting as it is then: changing it leaves the image that is looked at as it is.
  const begin = useEffectEvent((studyId: string | null) => dispatch({ type: "studyChanged", studyId, overlayFirst }));
  useEffect(() => begin(opened), [opened]);
}

/** At an address that the page does not have. */
function Nothing({ path, onHome }: { readonly path: string; readonly onHome: () => void }) {
  return (
    <section className={styles.notOpened} aria-label={t("Nothing here")}>
      <Note
        tone="warning"
        title={t("There is no page at this address")}
        urgent
        actions={
          <button type="button" className="button" onClick={onHome}>
            {t("To the start page")}
          </button>
        }
      >
        <p>{t("{0} is mistyped, or a link from elsewhere. Studies are found in the list.", path)}</p>
      </Note>
    </section>
  );
}

interface NotOpenedProps {
  readonly error: ApiError | null;
  readonly studyId: string;
  readonly review: OpenReview;
  readonly onRetry: () => void;
  readonly onHome: () => void;
}

function NotOpened({ error, studyId, review, onRetry, onHome }: NotOpenedProps) {
  return (
    <section className={styles.notOpened} aria-label={t("Study")}>
      {error === null ? (
        <p role="status">{t("Opening the study…")}</p>
      ) : error.isGone ? (
        <Note
          tone="warning"
          title={t("There is no such study")}
          urgent
          actions={
            <button type="button" className="button" onClick={onHome}>
              {t("Back to the list")}
            </button>
          }
        >
          <p>{t("It was deleted, it is another department's, or its address is mistyped.")}</p>
        </Note>
      ) : (
        <Note
          tone="error"
          title={error.title}
          urgent
          actions={
            <>
              <button type="button" className="button" onClick={onRetry}>
                {t("Try again")}
              </button>
              <button type="button" className="button button-quiet" onClick={onHome}>
                {t("To the start page")}
              </button>
            </>
          }
        >
          <p>{error.detail}</p>
        </Note>
      )}
      {error !== null && <LostWords items={review.allRefused.filter((one) => one.studyId === studyId)} onDiscard={review.discard} />}
    </section>
  );
}

interface LostWordsProps {
  readonly items: readonly Outgoing[];
  readonly onDiscard: (entryId: string) => void;
}

/** What this person wrote on a study that is gone: to be copied elsewhere before it is discarded. */
function LostWords({ items, onDiscard }: LostWordsProps) {
  return items.map(({ entryId, change, refusal }) => (
    <Note
      key={entryId}
      tone="warning"
      title={t("Not kept. {0}", saidText({ label: change?.label ?? null, target: change?.target ?? null, verdict: change?.verdict ?? "commented" }))}
      actions={
        <button type="button" className="button button-quiet" onClick={() => onDiscard(entryId)}>
          {t("Discard")}
        </button>
      }
    >
      <p>{refusal?.detail}</p>
      <p>{change?.comment}</p>
    </Note>
  ));
}
