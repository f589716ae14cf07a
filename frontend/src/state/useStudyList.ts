import { useEffect, useMemo, useState, useSyncExternalStore } from "react";

import { listStudies } from "../api/client";
import type { Worklist } from "../api/schema";
import type { StudyFilter } from "../domain/filters";
import { type FeedState, StudyFeed } from "./studyFeed";

/** Other people send studies, too. */
const REFRESH_INTERVAL_MS = 20_000;
/** While changes are told as they happen. */
const LIVE_INTERVAL_MS = 300_000;
const TYPING_MS = 200;

export interface StudyList extends FeedState {
  /** Whether all that match are here. */
  readonly isWhole: boolean;
  readonly filter: StudyFilter;
  readonly setFilter: (filter: StudyFilter) => void;
  /** Reads on until so many are here. */
  readonly want: (count: number) => void;
  readonly refresh: () => void;
  readonly mark: (id: string, worklist: Worklist) => void;
}

/** The list under a filter; the gateway looks, for the page may hold its beginning alone. */
export function useStudyList(
  filter: StudyFilter,
  setFilter: (filter: StudyFilter) => void,
  isLive: boolean,
): StudyList {
  const [feed] = useState(() => new StudyFeed(listStudies));
  const state = useSyncExternalStore(feed.subscribe, feed.snapshot);
  const { priority, status, work, text } = filter;
  useEffect(() => {
    // A word is typed letter by letter.
    const asking = setTimeout(
      () => feed.ask({ priority, status, work, text, patientId: null }),
      text === "" ? 0 : TYPING_MS,
    );
    return () => {
      clearTimeout(asking);
      feed.stop();
    };
  }, [feed, priority, status, work, text]);
  useEffect(() => {
    const timer = setInterval(feed.refresh, isLive ? LIVE_INTERVAL_MS : REFRESH_INTERVAL_MS);
    return () => clearInterval(timer);
  }, [feed, isLive]);

  return useMemo(() => {
    // What somebody has just done is no longer new, though the gateway was not asked again.
    const studies = state.studies.filter(({ worklist }) => work === null || worklist.state === work);
    const isWhole = state.studies.length >= state.total;
    const total = state.total - (state.studies.length - studies.length);
    const { want, refresh, mark } = feed;
    return { ...state, studies, total, isWhole, filter, setFilter, want, refresh, mark };
  }, [state, work, filter, setFilter, feed]);
}
