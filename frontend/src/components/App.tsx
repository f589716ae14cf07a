import { type Dispatch, useEffect, useReducer, useRef, useState } from "react";

import type { Me } from "../api/schema";
import { mayOf } from "../domain/access";
import { studyTitle } from "../domain/studies";
import { useSession, type Session } from "../state/useSession";
import { useListPanel } from "../state/useListPanel";
import { useShortcuts } from "../state/useShortcuts";
import { useStoredFlag } from "../state/useStored";
import { INITIAL_VIEWER, type ViewerAction, viewerReducer } from "../state/viewer";
import { StudyList } from "./list/StudyList";
import { ConnectionBanner } from "./page/ConnectionBanner";
import { DropOverlay } from "./page/DropOverlay";
import { FilePicker } from "./page/FilePicker";
import { Footer } from "./page/Footer";
import { Header } from "./page/Header";
import { HelpDialog } from "./page/HelpDialog";
import { NoticeDialog } from "./page/NoticeDialog";
import type { Panels } from "./pageState";
import { runCommand } from "./runCommand";
import { UploadTray } from "./upload/UploadTray";
import { useFileDrop } from "./upload/useFileDrop";
import type { ViewCommands } from "./viewer/viewCommands";
import { Workspace } from "./Workspace";
import styles from "./page/page.module.css";

export function App({ me }: { readonly me: Me }) {
  const session = useSession(mayOf(me));
  const [state, dispatch] = useReducer(viewerReducer, INITIAL_VIEWER);
  const panels = usePanels();
  const commands = useRef<ViewCommands | null>(null);
  const picker = useRef<HTMLInputElement>(null);
  const addFiles = (files: readonly File[]): void => session.uploads.queue.add(files);
  const { route, system, list, uploads, may } = session;
  const isHeld = useFileDrop(panels.accepted && may.upload, addFiles);
  const openListed = (id: string): void => {
    route.open(id);
    panels.uncover();
  };
  useNewStudy(session, dispatch);
  useShortcuts(panels.accepted && panels.shortcutsOn, (command) =>
    runCommand(command, { session, state, dispatch, panels, commands, picker }),
  );
  return (
    <div className={styles.page}>
      <Header
        system={system.status}
        isLost={system.lost !== null}
        listShown={panels.listShown}
        onToggleList={() => panels.setListShown(!panels.listShown)}
        onChooseFiles={may.upload ? () => picker.current?.click() : null}
        onHelp={() => panels.setHelpShown(true)}
        onHome={() => route.open(null)}
        me={me}
        isDrift={route.isDrift}
        onDrift={may.seeDrift ? route.openDrift : null}
      />
      <ConnectionBanner lost={system.lost} />
      <main className={styles.workspace} data-list={panels.listShown}>
        {panels.listShown && <StudyList list={list} openId={route.studyId} onOpen={openListed} />}
        <Workspace {...{ session, state, dispatch, panels, commands, picker }} />
        <UploadTray uploads={uploads.uploads} queue={uploads.queue} onOpen={route.open} />
      </main>
      <Footer version={system.status?.version ?? null} />
      {may.upload && <FilePicker ref={picker} onFiles={addFiles} />}
      {isHeld && <DropOverlay />}
      {!panels.accepted && <NoticeDialog onAccept={() => panels.setAccepted(true)} />}
      {panels.helpShown && <HelpDialog {...panels} onClose={() => panels.setHelpShown(false)} />}
    </div>
  );
}

function usePanels(): Panels {
  const [accepted, setAccepted] = useStoredFlag("cxr.notice-accepted", false);
  const [shortcutsOn, onShortcutsOn] = useStoredFlag("cxr.shortcuts", true);
  const listPanel = useListPanel();
  const [allShown, setAllShown] = useStoredFlag("cxr.all-findings", false);
  const [helpShown, setHelpShown] = useState(false);
  return {
    ...listPanel,
    ...{ accepted, setAccepted, shortcutsOn, onShortcutsOn },
    ...{ allShown, setAllShown, helpShown, setHelpShown },
  };
}

/** Another study starts with its own greys and boxes, and its name stands in the title. */
function useNewStudy({ route, open }: Session, dispatch: Dispatch<ViewerAction>): void {
  useEffect(() => dispatch({ type: "studyChanged" }), [route.studyId, dispatch]);
  const ofStudy = open.study === null ? null : studyTitle(open.study);
  const title = route.isDrift ? "Drift" : ofStudy;
  useEffect(() => {
    document.title = [title, "Open chest X-ray reader"].filter((part) => part !== null).join(" · ");
  }, [title]);
}
