import { useCallback, useEffect, useState } from "react";

import { type ApiError, asApiError } from "../api/errors";

export interface Asked<Answer> {
  /** As last heard; null before the first answer. */
  readonly answer: Answer | null;
  readonly error: ApiError | null;
  readonly reload: () => void;
}

/**
 * What the gateway answers to a question, and again at each `reload`.
 *
 * `ask` is another question when it is another function; with `refreshMs` it is asked again so long
 * after each answer.
 */
export function useAsked<Answer>(
  ask: (signal: AbortSignal) => Promise<Answer>,
  refreshMs: number | null = null,
): Asked<Answer> {
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [round, setRound] = useState(0);
  const reload = useCallback(() => setRound((n) => n + 1), []);
  useEffect(() => {
    const controller = new AbortController();
    ask(controller.signal).then(
      (heard) => {
        setAnswer(heard);
        setError(null);
      },
      (reason: unknown) => {
        if (!controller.signal.aborted) {
          setError(asApiError(reason));
        }
      },
    );
    const timer = refreshMs === null ? undefined : setTimeout(reload, refreshMs);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [ask, refreshMs, round, reload]);
  return { answer, error, reload };
}
