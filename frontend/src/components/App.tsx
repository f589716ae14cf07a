import { type MouseEvent, useCallback, useEffect, useRef, useState } from "react";

import type { Me, StudySummary } from "../api/schema";
import { identityOf, mayOf, noticeKey } from "../domain/access";
import { studyTitle } from "../domain/studies";
import { useSession, type Session } from "../state/useSession";
import { useListPanel } from "../state/useListPanel";
import { useOpenedText } from "../state/useOpenedText";
import { unreadText } from "../state/useUnread";
import { useStoredFlag } from "../state/useStored";
import { trustOf } from "../domain/trust";
import { StudyList } from "./list/StudyList";
import { ConnectionBanner } from "./page/ConnectionBanner";
import { DropOverlay } from "./page/DropOverlay";
import { FilePicker } from "./page/FilePicker";
import { Footer } from "./page/Footer";
import { Header } from "./page/Header";
import { HelpDialog } from "./page/HelpDialog";
import { NoticeDialog } from "./page/NoticeDialog";
import type { Panels } from "./pageState";
import { UploadTray } from "./upload/UploadTray";
import { useFileDrop } from "./upload/useFileDrop";
import { Workspace } from "./Workspace";
import { t } from "../i18n/t";
import styles from "./page/page.module.css";

export function App({ me }: { readonly me: Me }) {
  const session = useSession(mayOf(me), identityOf(me));
  const panels = usePanels(me);
  const picker = useRef<HTMLInputElement>(null);
  const addFiles = (files: readonly File[]): void => session.uploads.queue.add(files);
  const { route, system, list, uploads, may } = session;
  const trust = trustOf(system.status, session.open.study);
  const isHeld = useFileDrop(panels.accepted && may.upload, addFiles);
  const { startAt } = session.walk;
  const { uncover } = panels;
  const openListed = useCallback(
    (id: string, listed: readonly StudySummary[]): void => {
      startAt(id, listed);
      uncover();
    },
    [startAt, uncover],
  );
  const openedText = useOpenedText(session);
  useTitle(session);
  return (
    <div className={styles.page}>
      {session.open.study !== null && (
        <a className={styles.skip} href="#image" onClick={toImage}>
          {t("To the image")}
        </a>
      )}
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
        isAgreement={route.isAgreement}
        onAgreement={may.seeAgreement ? route.openAgreement : null}
      />
      <p className="visually-hidden" role="status" data-opened>
        {openedText}
      </p>
      <ConnectionBanner lost={system.lost} />
      <main className={styles.workspace} data-list={panels.listShown}>
        {panels.listShown && (
          <StudyList
            list={list}
            openId={route.studyId}
            maxWait={system.status?.max_wait_minutes ?? 0}
            isBlind={may.readFirst}
            onOpen={openListed}
          />
        )}
        <Workspace {...{ session, trust, panels, picker }} />
      </main>
      <UploadTray uploads={uploads.uploads} queue={uploads.queue} onOpen={route.open} isBlind={may.readFirst} />
      <Footer version={system.status?.version ?? null} onNotice={() => panels.setNoticeShown(true)} />
      {may.upload && <FilePicker ref={picker} onFiles={addFiles} />}
      {isHeld && <DropOverlay />}
      {!panels.accepted && <NoticeDialog label={t("I understand")} isNew onClose={() => panels.setAccepted(true)} />}
      {panels.accepted && panels.noticeShown && (
        <NoticeDialog label={t("Close")} isNew={false} onClose={() => panels.setNoticeShown(false)} />
      )}
      {panels.helpShown && <HelpDialog {...panels} onClose={() => panels.setHelpShown(false)} />}
    </div>
  );
}

/** Past the header and the list, however long they are. */
function toImage(event: MouseEvent): void {
  event.preventDefault();
  document.getElementById("image")?.focus();
}

function usePanels(me: Me): Panels {
  const [accepted, setAccepted] = useStoredFlag(noticeKey(me), false);
  const [noticeShown, setNoticeShown] = useState(false);
  const [overlayFirst, onOverlayFirst] = useStoredFlag("cxr.overlay-first", false);
  const [shortcutsOn, onShortcutsOn] = useStoredFlag("cxr.shortcuts", true);
  const listPanel = useListPanel();
  const [allShown, setAllShown] = useStoredFlag("cxr.all-findings", false);
  const [helpShown, setHelpShown] = useState(false);
  return {
    ...listPanel,
    ...{ accepted, setAccepted, noticeShown, setNoticeShown },
    ...{ shortcutsOn, onShortcutsOn, overlayFirst, onOverlayFirst },
    ...{ allShown, setAllShown, helpShown, setHelpShown },
  };
}

/** The open study's name, and what waits. */
function useTitle({ route, open, unread }: Session): void {
  const ofStudy = open.study === null ? null : studyTitle(open.study);
  const ofPage = route.isDrift ? t("Drift") : route.isAgreement ? t("Agreement") : null;
  const title = ofPage ?? ofStudy;
  useEffect(() => {
    const named = [title, t("Open chest X-ray reader")].filter((part) => part !== null).join(" · ");
    document.title = [unreadText(unread), named].filter((part) => part !== null).join(" ");
  }, [title, unread]);
}
