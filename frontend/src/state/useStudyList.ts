import { useCallback, useEffect, useReducer, useState } from "react";

import { listStudies } from "../api/client";
import { asApiError, type ApiError } from "../api/errors";
import type { StudyPage, StudySummary } from "../api/schema";
import { NO_FILTER, type StudyFilter } from "../domain/filters";

const STEP = 50;
/** The gateway's limit for one answer; a longer list is read page by page. */
const MAX_PAGE_SIZE = 200;
/** Other people send studies, too. */
const REFRESH_INTERVAL_MS = 20_000;

export interface ListState {
  readonly studies: readonly StudySummary[];
  readonly total: number;
  readonly error: ApiError | null;
  readonly phase: "loading" | "ready";
}

type ListAction =
  | { readonly type: "loaded"; readonly studies: readonly StudySummary[]; readonly total: number }
  | { readonly type: "failed"; readonly error: ApiError };

const EMPTY: ListState = { studies: [], total: 0, error: null, phase: "loading" };

export function listReducer(state: ListState, action: ListAction): ListState {
  switch (action.type) {
    case "loaded":
      return { studies: action.studies, total: action.total, error: null, phase: "ready" };
    case "failed":
      // What was heard before stays in sight, with the sentence that says it may be old.
      return { ...state, error: action.error, phase: "ready" };
  }
}

export interface StudyList extends ListState {
  readonly filter: StudyFilter;
  readonly setFilter: (filter: StudyFilter) => void;
  readonly loadMore: () => void;
  readonly refresh: () => void;
}

export function useStudyList(): StudyList {
  const [state, dispatch] = useReducer(listReducer, EMPTY);
  const [filter, setFilter] = useState<StudyFilter>(NO_FILTER);
  const [wanted, setWanted] = useState(STEP);
  const [round, setRound] = useState(0);
  const refresh = useCallback(() => setRound((n) => n + 1), []);
  const loadMore = useCallback(() => setWanted((n) => n + STEP), []);

  useEffect(() => {
    const controller = new AbortController();
    firstStudies(filter, wanted, controller.signal).then(
      ({ studies, total }) => dispatch({ type: "loaded", studies, total }),
      (error: unknown) => {
        if (!controller.signal.aborted) {
          dispatch({ type: "failed", error: asApiError(error) });
        }
      },
    );
    const timer = setTimeout(refresh, REFRESH_INTERVAL_MS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [filter, wanted, round, refresh]);

  return { ...state, filter, setFilter, loadMore, refresh };
}

/** The first `wanted` studies of the list, in as few requests as the gateway allows. */
export async function firstStudies(
  filter: StudyFilter,
  wanted: number,
  signal: AbortSignal,
): Promise<{ studies: readonly StudySummary[]; total: number }> {
  const byId = new Map<string, StudySummary>();
  let page: StudyPage | null = null;
  do {
    page = await listStudies(
      {
        priorities: filter.priority === null ? [] : [filter.priority],
        statuses: filter.status === null ? [] : [filter.status],
        limit: Math.min(wanted - byId.size, MAX_PAGE_SIZE),
        cursor: page?.next_cursor ?? null,
      },
      signal,
    );
    // By id: a study may move from one page to the next while they are read.
    page.items.forEach((study) => byId.set(study.id, study));
  } while (page.next_cursor !== null && byId.size < wanted);
  return { studies: [...byId.values()], total: page.total };
}
