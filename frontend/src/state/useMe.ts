import { useCallback, useEffect, useReducer, useState } from "react";

import { getMe } from "../api/client";
import { type ApiError, asApiError } from "../api/errors";
import type { Me } from "../api/schema";
import { onSignedOut } from "../api/signedOut";

const AGAIN_MS = 3_000;

export type Presence =
  | { readonly phase: "asking"; readonly lost: ApiError | null }
  | { readonly phase: "in"; readonly me: Me }
  /** `wasIn`: a session has ended while the page was open. */
  | { readonly phase: "out"; readonly signIn: string | null; readonly wasIn: boolean };

type Heard =
  | { readonly type: "known"; readonly me: Me }
  | { readonly type: "failed"; readonly error: ApiError };

export const ASKING: Presence = { phase: "asking", lost: null };

export function presenceReducer(presence: Presence, heard: Heard): Presence {
  if (heard.type === "known") {
    return { phase: "in", me: heard.me };
  }
  if (heard.error.isSignedOut) {
    const wasIn = presence.phase === "in" || (presence.phase === "out" && presence.wasIn);
    return { phase: "out", signIn: heard.error.signIn, wasIn };
  }
  // A gateway that is away for a moment signs nobody out.
  return presence.phase === "asking" ? { phase: "asking", lost: heard.error } : presence;
}

/** Who sits before the page: asked at the start, at each return to it, and after a refusal. */
export function useMe(): Presence {
  const [presence, dispatch] = useReducer(presenceReducer, ASKING);
  const [round, setRound] = useState(0);
  const ask = useCallback(() => setRound((n) => n + 1), []);

  useEffect(() => {
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    getMe(controller.signal).then(
      (me) => dispatch({ type: "known", me }),
      (reason: unknown) => {
        if (!controller.signal.aborted) {
          const error = asApiError(reason);
          dispatch({ type: "failed", error });
          timer = error.isSignedOut ? undefined : setTimeout(ask, AGAIN_MS);
        }
      },
    );
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [round, ask]);

  useEffect(() => {
    window.addEventListener("focus", ask);
    const forget = onSignedOut(ask);
    return () => {
      window.removeEventListener("focus", ask);
      forget();
    };
  }, [ask]);

  return presence;
}
