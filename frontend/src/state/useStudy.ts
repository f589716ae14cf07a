import { useCallback, useEffect, useReducer } from "react";

import { getStudy, rerunStudy } from "../api/client";
import { asApiError, type ApiError } from "../api/errors";
import type { Study } from "../api/schema";

interface StudyState {
  readonly known: ReadonlyMap<string, Study>;
  readonly errors: ReadonlyMap<string, ApiError>;
  /** The studies that are being analysed again now. */
  readonly rerunning: ReadonlySet<string>;
}

type StudyAction =
  | { readonly type: "heard"; readonly study: Study }
  | { readonly type: "failed"; readonly id: string; readonly error: ApiError }
  | { readonly type: "rerunning"; readonly id: string };

/** So many studies stay in memory; a night has more. */
const KEPT = 60;

const EMPTY: StudyState = { known: new Map(), errors: new Map(), rerunning: new Set() };

export function studyReducer(state: StudyState, action: StudyAction): StudyState {
  const id = action.type === "heard" ? action.study.id : action.id;
  const rerunning = new Set(state.rerunning);
  const errors = new Map(state.errors);
  const known = new Map(state.known);
  rerunning.delete(id);
  errors.delete(id);
  switch (action.type) {
    case "heard":
      known.delete(id);
      known.set(id, action.study);
      [...known.keys()].slice(0, -KEPT).forEach((oldest) => known.delete(oldest));
      break;
    case "failed":
      errors.set(id, action.error);
      // Deleted meanwhile: what was known of it is nobody's to look at any more.
      if (action.error.isGone) {
        known.delete(id);
      }
      break;
    case "rerunning":
      rerunning.add(id);
      break;
  }
  return { known, errors, rerunning };
}

export interface OpenStudy {
  readonly study: Study | null;
  readonly error: ApiError | null;
  readonly isRerunning: boolean;
  /** Hands in a study that came by another way, so that it need not be asked for. */
  readonly learn: (study: Study) => void;
  /** Asks for a study that is likely to be opened next. */
  readonly prefetch: (id: string) => void;
  readonly reload: () => void;
  readonly rerun: () => Promise<void>;
}

/** The study of the address, from memory if it was heard of before. */
export function useStudy(id: string | null): OpenStudy {
  const [state, dispatch] = useReducer(studyReducer, EMPTY);
  const isKnown = id !== null && state.known.has(id);

  useEffect(() => {
    if (id === null || isKnown) {
      return undefined;
    }
    const controller = new AbortController();
    load(id, dispatch, controller.signal);
    return () => controller.abort();
  }, [id, isKnown]);

  const learn = useCallback((study: Study) => dispatch({ type: "heard", study }), []);
  const reload = useCallback(() => {
    if (id !== null) {
      load(id, dispatch);
    }
  }, [id]);
  const prefetch = useCallback(
    (wanted: string) => {
      if (!state.known.has(wanted)) {
        // If it fails, it is asked for again when it is opened.
        getStudy(wanted).then((study) => dispatch({ type: "heard", study }), () => undefined);
      }
    },
    [state.known],
  );
  const rerun = useCallback(() => (id === null ? Promise.resolve() : reread(id, dispatch)), [id]);

  return {
    study: id === null ? null : (state.known.get(id) ?? null),
    error: id === null ? null : (state.errors.get(id) ?? null),
    isRerunning: id !== null && state.rerunning.has(id),
    learn,
    prefetch,
    reload,
    rerun,
  };
}

function load(id: string, dispatch: (action: StudyAction) => void, signal?: AbortSignal): void {
  getStudy(id, signal).then(
    (study) => dispatch({ type: "heard", study }),
    (error: unknown) => {
      if (!signal?.aborted) {
        dispatch({ type: "failed", id, error: asApiError(error) });
      }
    },
  );
}

async function reread(id: string, dispatch: (action: StudyAction) => void): Promise<void> {
  dispatch({ type: "rerunning", id });
  try {
    dispatch({ type: "heard", study: await rerunStudy(id) });
  } catch (error) {
    dispatch({ type: "failed", id, error: asApiError(error) });
  }
}
