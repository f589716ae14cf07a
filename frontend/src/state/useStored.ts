import { useCallback, useState } from "react";

/** A yes-or-no that this browser remembers. Works, unremembered, where storage is forbidden. */
export function useStoredFlag(key: string, initial: boolean): [boolean, (value: boolean) => void] {
  const [value, setValue] = useState(() => readFlag(key) ?? initial);
  const store = useCallback(
    (next: boolean) => {
      setValue(next);
      write(key, next);
    },
    [key],
  );
  return [value, store];
}

/** Null where nothing is remembered. */
export function readFlag(key: string): boolean | null {
  try {
    const stored = window.localStorage.getItem(key);
    return stored === null ? null : stored === "true";
  } catch {
    return null;
  }
}

function write(key: string, value: boolean): void {
  try {
    window.localStorage.setItem(key, String(value));
  } catch {
    // A private window without storage: the person is asked again next time.
  }
}
