import { useEffect, useState } from "react";

const MOMENT_MS = 700;

/** The count, and 0 until some have waited for more than a moment: what is over by then is not worth a word. */
export function useLasting(count: number): number {
  const [isLate, setLate] = useState(false);
  const waits = count > 0;
  useEffect(() => {
    if (!waits) {
      return undefined;
    }
    const timer = setTimeout(() => setLate(true), MOMENT_MS);
    return () => {
      clearTimeout(timer);
      setLate(false);
    };
  }, [waits]);
  return waits && isLate ? count : 0;
}
