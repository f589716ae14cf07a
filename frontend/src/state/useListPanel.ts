import { useCallback, useState, useSyncExternalStore } from "react";

import { useStoredFlag } from "./useStored";

/** Where the list lies over the study instead of beside it; the same width as in the style sheets. */
const NARROW = "(max-width: 900px)";

export interface ListPanel {
  readonly listShown: boolean;
  readonly setListShown: (shown: boolean) => void;
  /** A study was chosen: a list that lies over it gets out of the way. */
  readonly uncover: () => void;
}

/** Beside the study the list is there until it is closed; over it, only when it is asked for. */
export function useListPanel(): ListPanel {
  const isNarrow = useSyncExternalStore(subscribe, () => window.matchMedia(NARROW).matches);
  const [beside, setBeside] = useStoredFlag("cxr.list-shown", true);
  const [over, setOver] = useState(false);
  const uncover = useCallback(() => setOver(false), []);
  return {
    listShown: isNarrow ? over : beside,
    setListShown: isNarrow ? setOver : setBeside,
    uncover,
  };
}

function subscribe(listener: () => void): () => void {
  const query = window.matchMedia(NARROW);
  query.addEventListener("change", listener);
  return () => query.removeEventListener("change", listener);
}
