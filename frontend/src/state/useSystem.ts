import { useCallback, useEffect, useState } from "react";

import { getSystem } from "../api/client";
import { asApiError, type ApiError } from "../api/errors";
import type { SystemStatus } from "../api/schema";

const CALM_INTERVAL_MS = 15_000;
const LOST_INTERVAL_MS = 3_000;

export interface System {
  /** As last heard; null before the first answer. */
  readonly status: SystemStatus | null;
  /** Why the gateway does not answer; null while it does. */
  readonly lost: ApiError | null;
  /** Asks now, for instance after another request failed. */
  readonly check: () => void;
}

/** What this installation is, asked again and again: so the page knows when it is cut off. */
export function useSystem(): System {
  const [status, setStatus] = useState<SystemStatus | null>(null);
  const [lost, setLost] = useState<ApiError | null>(null);
  const [round, setRound] = useState(0);
  const check = useCallback(() => setRound((n) => n + 1), []);

  useEffect(() => {
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async (): Promise<void> => {
      let error: ApiError | null = null;
      try {
        const answer = await getSystem(controller.signal);
        setStatus(answer);
      } catch (reason) {
        error = asApiError(reason);
      }
      if (!controller.signal.aborted) {
        setLost(error);
        timer = setTimeout(() => void ask(), error ? LOST_INTERVAL_MS : CALM_INTERVAL_MS);
      }
    };
    void ask();
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [round]);

  useEffect(() => {
    const events = ["online", "offline", "focus"] as const;
    events.forEach((event) => window.addEventListener(event, check));
    return () => events.forEach((event) => window.removeEventListener(event, check));
  }, [check]);

  return { status, lost, check };
}
