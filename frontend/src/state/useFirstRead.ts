import { useCallback, useEffect, useMemo, useState } from "react";

import { getFirstReads, putFirstRead } from "../api/client";
import { type ApiError, asApiError } from "../api/errors";
import type { Finding, FirstReads, Study } from "../api/schema";
import { newEntryId, type Waiting } from "../domain/review";
import { browserShelf, Outbox } from "./outbox";
import { useOutbox } from "./useOutbox";
import { forgetDraft } from "./useStoredDraft";

/** A first opinion on its way. */
interface Opinion extends Waiting {
  readonly findings: readonly Finding[];
  readonly comment: string;
}

export interface OpenFirstRead {
  /** Whether the models' answers are hidden still. */
  readonly isBlind: boolean;
  /** Null while it is not known, and where nobody is asked. */
  readonly reads: FirstReads | null;
  /** Whether one's opinion is kept in this browser and not sent yet. */
  readonly isSending: boolean;
  readonly error: Pick<ApiError, "title" | "detail"> | null;
  readonly give: (findings: readonly Finding[], comment: string) => void;
}

interface Heard {
  readonly id: string;
  readonly reads: FirstReads | null;
  readonly error: ApiError | null;
}

/**
 * The first opinion on the open study; `isAsked` where the department reads first.
 *
 * What `person` gives is kept in this browser until the gateway has it; only then the answers are
 * shown, for else an opinion could be given again, after them.
 */
export function useFirstRead(study: Study | null, isAsked: boolean, person: string): OpenFirstRead {
  const [heard, setHeard] = useState<Heard | null>(null);
  const isDiagnosed = study?.status === "complete" || study?.status === "partial";
  const id = isAsked && isDiagnosed ? study.id : null;
  const outbox = useMemo(
    () =>
      new Outbox<Opinion, FirstReads>(
        browserShelf("first-read", person),
        ({ studyId, findings, comment }) => putFirstRead(studyId, { findings: [...findings], comment }),
        (reads, { studyId }) => {
          forgetDraft(draftKey(studyId, person));
          setHeard((before) => (before === null || before.id === studyId ? { id: studyId, reads, error: null } : before));
        },
      ),
    [person],
  );
  const items = useOutbox(outbox);
  const own = items.findLast(({ studyId }) => studyId === id);
  const isRefused = own !== undefined && own.refusal !== null;
  // Asked again after a refusal: perhaps another opinion was given elsewhere, and the answers are free.
  useEffect(() => {
    if (id === null) {
      return undefined;
    }
    const controller = new AbortController();
    getFirstReads(id, controller.signal).then(
      (reads) => setHeard({ id, reads, error: null }),
      (reason: unknown) => {
        if (!controller.signal.aborted) {
          setHeard({ id, reads: null, error: asApiError(reason) });
        }
      },
    );
    return () => controller.abort();
  }, [id, isRefused]);
  const give = useCallback(
    (findings: readonly Finding[], comment: string) => {
      if (id !== null) {
        outbox
          .snapshot()
          .filter(({ studyId }) => studyId === id)
          .forEach(({ entryId }) => outbox.discard(entryId));
        outbox.add({ entryId: newEntryId(), studyId: id, findings, comment, refusal: null });
      }
    },
    [id, outbox],
  );
  const ofThis = heard?.id === id ? heard : null;
  return {
    // Hidden until it is known that they may be shown: nothing flashes up.
    isBlind: id !== null && ofThis?.reads?.given !== true,
    reads: ofThis?.reads ?? null,
    isSending: own !== undefined && own.refusal === null,
    error: own?.refusal ?? ofThis?.error ?? null,
    give,
  };
}

/** Under which this browser keeps an opinion that is not given yet. */
export function draftKey(studyId: string, person: string): string {
  return `cxr.first-read-draft ${studyId} ${person}`;
}

/** The study without anything that a model says of it. */
export function blinded(study: Study): Study {
  return { ...study, triage: null, findings: [], top_findings: [], boxes: [], heatmaps: [] };
}
