import { useCallback, useEffect, useMemo, useState } from "react";

import { getReview, putReviewEntry, withdrawReviewEntry } from "../api/client";
import { type ApiError, asApiError } from "../api/errors";
import type { Review, ReviewChange, Study } from "../api/schema";
import { type Mark, marksOf, newEntryId, type Outgoing, saidText } from "../domain/review";
import { browserShelf, Outbox } from "./outbox";
import { useOutbox } from "./useOutbox";
import { t } from "../i18n/t";

export interface OpenReview {
  /** Null while it is not known. */
  readonly revision: number | null;
  readonly marks: readonly Mark[];
  readonly error: ApiError | null;
  /** Of this study: what the gateway refused. */
  readonly refused: readonly Outgoing[];
  /** The same of all studies, also of those that are not there any more. */
  readonly allRefused: readonly Outgoing[];
  /** Of all studies: what is still to be sent. */
  readonly waiting: number;
  /** Null for whoever may not, and while the review is not known. */
  readonly say: ((change: ReviewChange) => void) | null;
  /** Takes back what this person said last; null where there is nothing. */
  readonly undo: (() => void) | null;
  readonly takeBack: (mark: Mark) => void;
  readonly discard: (entryId: string) => void;
  /** Says a refused entry again, of the study as it is now. */
  readonly sayAgain: (item: Outgoing) => void;
  /** For those who hear the page. */
  readonly announcement: string;
}

/** What readers said of the open study; what this person says is kept until it is sent. */
export function useReview(study: Study | null, may: boolean, person: string): OpenReview {
  const [review, setReview] = useState<Review | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [announcement, announce] = useState("");
  const outbox = useMemo(
    () =>
      new Outbox<Outgoing, Review>(
        browserShelf("review", person),
        send,
        (answer) => setReview((before) => newer(before, answer)),
        // What is to be taken back and is not there says nothing.
        ({ change }) => change !== null,
      ),
    [person],
  );
  const items = useOutbox(outbox);

  // Asked again for each answer of the study: another analysis has another revision.
  useEffect(() => {
    if (study === null) {
      return undefined;
    }
    const controller = new AbortController();
    getReview(study.id, controller.signal).then(
      (answer) => {
        setReview(answer);
        setError(null);
      },
      (reason: unknown) => {
        if (!controller.signal.aborted) {
          setError(asApiError(reason));
        }
      },
    );
    return () => controller.abort();
  }, [study]);

  const id = study?.id ?? null;
  const ofThis = review !== null && review.study_id === id ? review : null;
  const own = useMemo(() => items.filter(({ studyId }) => studyId === id), [items, id]);
  const marks = useMemo(() => marksOf(ofThis, own), [ofThis, own]);

  const say = useCallback(
    (change: ReviewChange) => {
      if (id !== null) {
        outbox.add({ studyId: id, entryId: newEntryId(), change, refusal: null });
        announce(saidText({ label: change.label ?? null, target: change.target ?? null, verdict: change.verdict }));
      }
    },
    [outbox, id],
  );
  const takeBack = useCallback(
    (mark: Mark) => {
      if (id !== null && !outbox.discard(mark.id)) {
        outbox.add({ studyId: id, entryId: mark.id, change: null, refusal: null });
      }
      announce(t("Taken back. {0}", saidText(mark)));
    },
    [outbox, id],
  );
  const last = marks.filter(({ mine, state }) => mine && state !== "refused").at(-1);
  return {
    revision: ofThis?.revision ?? null,
    marks,
    error: ofThis === null ? error : null,
    refused: own.filter(({ refusal }) => refusal !== null),
    allRefused: items.filter(({ refusal }) => refusal !== null),
    waiting: items.filter(({ refusal }) => refusal === null).length,
    say: may && ofThis !== null ? say : null,
    undo: may && last !== undefined ? () => takeBack(last) : null,
    takeBack,
    discard: (entryId) => void outbox.discard(entryId),
    sayAgain: ({ entryId, change }) => {
      if (change !== null && ofThis !== null) {
        outbox.discard(entryId);
        say({ ...change, revision: ofThis.revision });
      }
    },
    announcement,
  };
}

function send({ studyId, entryId, change }: Outgoing): Promise<Review> {
  return change === null ? withdrawReviewEntry(studyId, entryId) : putReviewEntry(studyId, entryId, change);
}

/** An answer about another study than the open one changes nothing. */
function newer(before: Review | null, answer: Review): Review | null {
  return before === null || before.study_id === answer.study_id ? answer : before;
}
