import { useState } from "react";

/** What is being written, kept in this browser under `key`: a reload loses nothing. */
export function useStoredDraft<Draft>(key: string, empty: Draft): [Draft, (draft: Draft) => void] {
  const [draft, setDraft] = useState<Draft>(() => (read(key) as Draft | null) ?? empty);
  const keep = (next: Draft): void => {
    setDraft(next);
    try {
      window.localStorage.setItem(key, JSON.stringify(next));
    } catch {
      // Without storage it is kept while the page is open.
    }
  };
  return [draft, keep];
}

export function forgetDraft(key: string): void {
  try {
    window.localStorage.removeItem(key);
  } catch {
    // Nothing was kept.
  }
}

function read(key: string): unknown {
  try {
    const stored = window.localStorage.getItem(key);
    return stored === null ? null : (JSON.parse(stored) as unknown);
  } catch {
    return null;
  }
}
