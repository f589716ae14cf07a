import { useCallback, useEffect, useState } from "react";

import { getDrift } from "../api/client";
import { asApiError, type ApiError } from "../api/errors";
import type { DriftReport } from "../api/schema";

const WEEKS = 12;
const REFRESH_INTERVAL_MS = 60_000;

export interface Drift {
  /** As last heard; null before the first answer. */
  readonly report: DriftReport | null;
  readonly error: ApiError | null;
  readonly reload: () => void;
}

/** The latest weeks against the reference, asked again each minute while the page is open. */
export function useDrift(): Drift {
  const [report, setReport] = useState<DriftReport | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [round, setRound] = useState(0);
  const reload = useCallback(() => setRound((n) => n + 1), []);

  useEffect(() => {
    const controller = new AbortController();
    getDrift(WEEKS, controller.signal).then(
      (answer) => {
        setReport(answer);
        setError(null);
      },
      (reason: unknown) => {
        if (!controller.signal.aborted) {
          setError(asApiError(reason));
        }
      },
    );
    const timer = setTimeout(reload, REFRESH_INTERVAL_MS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [round, reload]);

  return { report, error, reload };
}
