import { useCallback, useEffect, useEffectEvent, useState } from "react";

import type { StudySummary } from "../api/schema";
import { imageUrl } from "../api/urls";
import { continued, neighbourIn } from "../domain/walk";
import { preload } from "./preloaded";
import type { Route } from "./useRoute";
import type { StudyList } from "./useStudyList";

/** So far ahead of the walker the list is read. */
const AHEAD = 50;

export interface Walk {
  /** Opens the next or the previous study; does nothing at the end of the list. */
  readonly step: (by: 1 | -1) => void;
  /** Opens a study from which the walk begins anew, in the order of `listed`. */
  readonly startAt: (id: string, listed: readonly StudySummary[]) => void;
}

/** Steps through the whole list by key, with the next image fetched while this one is read. */
export function useWalk(route: Route, list: StudyList, prefetch: (id: string) => void): Walk {
  const [walk, setWalk] = useState<readonly string[]>([]);
  const { studyId, open } = route;

  const orderNow = (): readonly string[] => {
    const listed = list.studies.map(({ id }) => id);
    const isOnIt = studyId !== null && walk.includes(studyId);
    return isOnIt ? continued(walk, listed, studyId) : listed;
  };

  const step = (by: 1 | -1): void => {
    const order = orderNow();
    const id = neighbourIn(order, studyId, by);
    setWalk(order);
    if (id !== null) {
      open(id);
      list.want(order.indexOf(id) + AHEAD);
    }
  };

  const startAt = useCallback(
    (id: string, listed: readonly StudySummary[]): void => {
      setWalk(listed.map((study) => study.id));
      open(id);
    },
    [open],
  );

  const fetchNext = useEffectEvent(() => {
    const id = studyId === null ? null : neighbourIn(orderNow(), studyId, 1);
    if (id !== null) {
      prefetch(id);
      preload(imageUrl(id));
    }
  });
  const hasList = list.phase === "ready";
  useEffect(() => {
    if (!hasList) {
      return undefined;
    }
    // The open study comes first.
    const timer = setTimeout(() => fetchNext(), 300);
    return () => clearTimeout(timer);
  }, [studyId, hasList]);

  return { step, startAt };
}
