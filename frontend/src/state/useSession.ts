import { useCallback, useEffect, useEffectEvent, useMemo, useState } from "react";

import type { StudySummary, Worklist } from "../api/schema";
import type { May } from "../domain/access";
import { type OpenStudy, useStudy } from "./useStudy";
import { blinded, type OpenFirstRead, useFirstRead } from "./useFirstRead";
import { type LiveChange, useLive } from "./useLive";
import { type OwnGreys, useGreys } from "./useGreys";
import { type OpenReview, useReview } from "./useReview";
import { type Route, useRoute } from "./useRoute";
import { type StudyList, useStudyList } from "./useStudyList";
import { type System, useSystem } from "./useSystem";
import { useUnreadUrgent } from "./useUnread";
import { type Uploads, useUploads } from "./useUploads";
import { useWalk, type Walk } from "./useWalk";
import { type OpenWorklist, useWorklist } from "./useWorklist";

export interface Session {
  readonly route: Route;
  readonly system: System;
  readonly list: StudyList;
  readonly open: OpenStudy;
  /** The greys of the open study's file. */
  readonly own: OwnGreys;
  readonly first: OpenFirstRead;
  readonly worklist: OpenWorklist;
  readonly review: OpenReview;
  /** Whose words are kept in this browser. */
  readonly person: string;
  readonly walk: Walk;
  /** Urgent studies that nobody has opened. */
  readonly unread: number;
  readonly uploads: Uploads;
  readonly may: May;
  /** Null for whoever may not. */
  readonly rerun: (() => void) | null;
}

/** Everything the page knows from the gateway, kept together so that its parts agree. */
export function useSession(may: May, person: string): Session {
  const route = useRoute();
  const system = useSystem();
  const live = useLive(may.follow);
  const list = useStudyList(route.filter, route.setFilter, live.isLive);
  const opened = useStudy(route.studyId);
  const first = useFirstRead(opened.study, may.readFirst, person);
  const hidden = useMemo(() => (opened.study === null ? null : blinded(opened.study)), [opened.study]);
  const open = first.isBlind ? { ...opened, study: hidden } : opened;
  const own = useGreys(open.study?.id ?? null);
  const { mark, refresh } = list;
  const [changes, setChanges] = useState(0);
  const noteWork = useCallback(
    (id: string, changed: Worklist): void => {
      mark(id, changed);
      refresh();
      setChanges((n) => n + 1);
    },
    [mark, refresh],
  );
  // Opened is what is there to be looked at; of a study that is not, nothing is asked.
  const worklist = useWorklist(open.study?.id ?? null, may.work, noteWork, live.news, person);
  // What others said of the answers would tell the answers.
  const review = useReview(first.isBlind ? null : opened.study, may.review, person);
  const unread = useUnreadUrgent(changes, live);
  const hear = useEffectEvent((news: readonly LiveChange[]) => {
    list.refresh();
    if (news.some(({ kind, studyId }) => studyId === route.studyId && kind !== "worklist")) {
      opened.reload();
    }
  });
  useEffect(() => {
    if (live.news.length > 0) {
      hear(live.news);
    }
  }, [live.news]);
  const walk = useWalk(route, list, open.prefetch);
  const uploads = useUploads(system.status, (study, alone) => {
    open.learn(study);
    list.refresh();
    // One file is opened when it is analysed; of many, the first, and nothing that is being looked at
    // is taken away.
    if (alone || route.studyId === null) {
      route.open(study.id);
    }
  });
  const rerun = (): void => {
    void open.rerun().then(() => {
      list.refresh();
      system.check();
    });
  };
  useCatchingUp({ system, list, open });
  return { route, system, list, open, own, first, worklist, review, person, walk, unread, uploads, may, rerun: may.rerun ? rerun : null };
}

type Known = Pick<Session, "system" | "list" | "open">;

/** After a lost connection, or when somebody else had a study analysed again. */
function useCatchingUp({ system, list, open }: Known): void {
  const isLost = system.lost !== null;
  const catchUp = useEffectEvent(() => {
    list.refresh();
    if (open.error?.isConnectionLoss === true) {
      open.reload();
    }
  });
  useEffect(() => {
    if (!isLost) {
      catchUp();
    }
  }, [isLost]);

  const check = useEffectEvent(() => system.check());
  const failedToConnect = (list.error ?? open.error)?.isConnectionLoss === true;
  useEffect(() => {
    if (failedToConnect) {
      check();
    }
  }, [failedToConnect]);

  // Once for each answer of the list, and not for each answer of the study: a list that is older
  // than the study must not make the page ask for it again and again.
  const compare = useEffectEvent((studies: readonly StudySummary[]) => {
    const listed = studies.find(({ id }) => id === open.study?.id);
    if (listed !== undefined && listed.status !== open.study?.status && !open.isRerunning) {
      open.reload();
    }
  });
  useEffect(() => compare(list.studies), [list.studies]);
}
