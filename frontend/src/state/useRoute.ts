import { useCallback, useSyncExternalStore } from "react";

/** `/studies/{id}` is a study; `/drift` is the drift page; every other address is the start page. */
export function studyIdOf(pathname: string): string | null {
  const match = /^\/studies\/([0-9A-Za-z-]{1,64})\/?$/.exec(pathname);
  return match?.[1] ?? null;
}

export function pathOf(studyId: string | null): string {
  return studyId === null ? "/" : `/studies/${studyId}`;
}

export const DRIFT_PATH = "/drift";

export interface Route {
  readonly studyId: string | null;
  readonly isDrift: boolean;
  readonly open: (studyId: string | null) => void;
  readonly openDrift: () => void;
}

/** The open study or page, kept in the address so that it can be bookmarked, shared and gone back to. */
export function useRoute(): Route {
  const pathname = useSyncExternalStore(subscribe, () => window.location.pathname);
  const open = useCallback((studyId: string | null) => goTo(pathOf(studyId)), []);
  const openDrift = useCallback(() => goTo(DRIFT_PATH), []);
  return { studyId: studyIdOf(pathname), isDrift: pathname === DRIFT_PATH, open, openDrift };
}

function goTo(path: string): void {
  if (path !== window.location.pathname) {
    window.history.pushState(null, "", path);
    window.dispatchEvent(new PopStateEvent("popstate"));
  }
}

function subscribe(listener: () => void): () => void {
  window.addEventListener("popstate", listener);
  return () => window.removeEventListener("popstate", listener);
}
