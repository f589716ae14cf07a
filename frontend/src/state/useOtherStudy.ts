import { useEffect, useState } from "react";

import { getStudy } from "../api/client";
import { type ApiError, asApiError } from "../api/errors";
import type { Study } from "../api/schema";

export interface OtherStudy {
  /** Null until it is here. */
  readonly study: Study | null;
  readonly error: ApiError | null;
}

const NOTHING: OtherStudy = { study: null, error: null };

/** The whole of a study that is not the open one; the list has only its strongest findings. */
export function useOtherStudy(id: string): OtherStudy {
  const [heard, setHeard] = useState<OtherStudy & { readonly id: string }>({ id, ...NOTHING });
  useEffect(() => {
    const controller = new AbortController();
    getStudy(id, controller.signal).then(
      (study) => setHeard({ id, study, error: null }),
      (reason: unknown) => {
        if (!controller.signal.aborted) {
          setHeard({ id, study: null, error: asApiError(reason) });
        }
      },
    );
    return () => controller.abort();
  }, [id]);
  return heard.id === id ? heard : NOTHING;
}
