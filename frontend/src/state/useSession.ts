import { useEffect, useEffectEvent } from "react";

import type { StudySummary } from "../api/schema";
import type { May } from "../domain/access";
import { type OpenStudy, useStudy } from "./useStudy";
import { type Route, useRoute } from "./useRoute";
import { type StudyList, useStudyList } from "./useStudyList";
import { type System, useSystem } from "./useSystem";
import { type Uploads, useUploads } from "./useUploads";

export interface Session {
  readonly route: Route;
  readonly system: System;
  readonly list: StudyList;
  readonly open: OpenStudy;
  readonly uploads: Uploads;
  readonly may: May;
  /** Null for whoever may not. */
  readonly rerun: (() => void) | null;
}

/** Everything the page knows from the gateway, kept together so that its parts agree. */
export function useSession(may: May): Session {
  const route = useRoute();
  const system = useSystem();
  const list = useStudyList();
  const open = useStudy(route.studyId);
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
  return { route, system, list, open, uploads, may, rerun: may.rerun ? rerun : null };
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
