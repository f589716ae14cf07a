import { useEffect, useMemo, useState, useSyncExternalStore } from "react";

import { listStudies } from "../api/client";
import type { Study, StudySummary } from "../api/schema";
import { priorsOf } from "../domain/priors";
import { EVERYTHING, StudyFeed } from "./studyFeed";

export interface Priors {
  readonly studies: readonly StudySummary[];
  /** Whether all of them are here. */
  readonly isWhole: boolean;
}

/** Other studies of the patient of `study`, the latest first; asked for while somebody wants to know. */
export function usePriors(study: Study, wanted: boolean): Priors {
  const [feed] = useState(() => new StudyFeed(listStudies));
  const { studies, total, phase } = useSyncExternalStore(feed.subscribe, feed.snapshot);
  const { patient_id: patientId } = study.patient;
  useEffect(() => {
    if (!wanted || patientId === null) {
      return undefined;
    }
    feed.ask({ ...EVERYTHING, patientId });
    feed.want(Infinity);
    return () => feed.stop();
  }, [feed, wanted, patientId]);
  return useMemo(
    () => ({
      studies: priorsOf(study, studies),
      isWhole: patientId === null || (phase === "ready" && studies.length >= total),
    }),
    [study, patientId, studies, total, phase],
  );
}
