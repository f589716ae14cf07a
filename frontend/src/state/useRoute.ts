import { useCallback, useMemo, useSyncExternalStore } from "react";

import { filterOf, searchOf, type StudyFilter } from "../domain/filters";

/** `/studies/{id}` is a study; `/drift` and `/agreement` are pages of their own; `/` is the start page. */
export function studyIdOf(pathname: string): string | null {
  const match = /^\/studies\/([0-9A-Za-z-]{1,64})\/?$/.exec(pathname);
  return match?.[1] ?? null;
}

export function pathOf(studyId: string | null): string {
  return studyId === null ? "/" : `/studies/${studyId}`;
}

export const DRIFT_PATH = "/drift";
export const AGREEMENT_PATH = "/agreement";

/** Whether an address is none of the page's: a mistyped or an old one. */
export function isUnknown(pathname: string): boolean {
  return ![pathOf(null), DRIFT_PATH, AGREEMENT_PATH].includes(pathname) && studyIdOf(pathname) === null;
}

export interface Route {
  readonly studyId: string | null;
  readonly isDrift: boolean;
  readonly isAgreement: boolean;
  /** The address where there is nothing, or null. */
  readonly unknown: string | null;
  /** Of the list, which keeps it from study to study. */
  readonly filter: StudyFilter;
  readonly open: (studyId: string | null) => void;
  readonly openDrift: () => void;
  readonly openAgreement: () => void;
  readonly setFilter: (filter: StudyFilter) => void;
}

/** The open study or page and the filter, kept in the address: bookmarked, shared, gone back to. */
export function useRoute(): Route {
  const pathname = useSyncExternalStore(subscribe, () => window.location.pathname);
  const search = useSyncExternalStore(subscribe, () => window.location.search);
  const filter = useMemo(() => filterOf(search), [search]);
  const open = useCallback((studyId: string | null) => goTo(pathOf(studyId) + window.location.search), []);
  const openDrift = useCallback(() => goTo(DRIFT_PATH), []);
  const openAgreement = useCallback(() => goTo(AGREEMENT_PATH), []);
  const setFilter = useCallback((next: StudyFilter) => {
    const before = filterOf(window.location.search);
    // Each letter of a search is no place of its own to go back to.
    const isTyping = before.text !== "" && next.text !== "" && before.text !== next.text;
    goTo(window.location.pathname + searchOf(next), isTyping);
  }, []);
  return useMemo(
    () => ({
      studyId: studyIdOf(pathname),
      isDrift: pathname === DRIFT_PATH,
      isAgreement: pathname === AGREEMENT_PATH,
      unknown: isUnknown(pathname) ? pathname : null,
      ...{ filter, open, openDrift, openAgreement, setFilter },
    }),
    [pathname, filter, open, openDrift, openAgreement, setFilter],
  );
}

function goTo(address: string, replaces = false): void {
  if (address === window.location.pathname + window.location.search) {
    return;
  }
  if (replaces) {
    window.history.replaceState(null, "", address);
  } else {
    window.history.pushState(null, "", address);
  }
  window.dispatchEvent(new PopStateEvent("popstate"));
}

function subscribe(listener: () => void): () => void {
  window.addEventListener("popstate", listener);
  return () => window.removeEventListener("popstate", listener);
}
