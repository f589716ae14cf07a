import { useCallback, useEffect, useEffectEvent, useMemo, useRef, useState } from "react";

import { getWorklist, setWorklist } from "../api/client";
import type { Worklist, WorklistState } from "../api/schema";
import { newEntryId, type Waiting } from "../domain/review";
import { browserShelf, Outbox } from "./outbox";
import { useOutbox } from "./useOutbox";

/** A state that a reader gave a study. */
interface Decision extends Waiting {
  readonly state: WorklistState;
  /** Of what is assigned; null for oneself. */
  readonly to: string | null;
  /** Whether it says only that somebody looks now; later it would be false, and is not sent. */
  readonly isFleeting: boolean;
}

export interface OpenWorklist {
  /** Null while it is not known. */
  readonly worklist: Worklist | null;
  /** Why the gateway did not keep the last state; null where it did. */
  readonly refusal: Waiting["refusal"];
  /** How many states, of all studies, are still to be sent. */
  readonly waiting: number;
  /** Null for whoever may not. */
  readonly set: ((state: WorklistState, to?: string) => void) | null;
}

interface Heard {
  readonly id: string;
  readonly worklist: Worklist;
}

/**
 * How far people are with the open study; opening it says so to everybody.
 *
 * What `person` decides is kept in this browser until the gateway has it, one after another: "done"
 * must not be overtaken by the "opened" before it. `onChange` hears of each change that was made
 * here; it has to stay the same function. Others' are asked for at `news`.
 */
export function useWorklist(
  id: string | null,
  mayChange: boolean,
  onChange: (id: string, worklist: Worklist) => void,
  news: unknown,
  person: string,
): OpenWorklist {
  const [heard, setHeard] = useState<Heard | null>(null);
  const decided = useRef(new Set<string>());
  const outbox = useMemo(
    () =>
      new Outbox<Decision, Worklist | null>(browserShelf("worklist", person), send, (worklist, { studyId }) => {
        if (worklist !== null) {
          // What comes late says nothing of the study that is open by now.
          setHeard((before) => (before === null || before.id === studyId ? { id: studyId, worklist } : before));
          onChange(studyId, worklist);
        }
      }),
    [person, onChange],
  );
  const items = useOutbox(outbox);

  const decide = useCallback(
    (studyId: string, state: WorklistState, to: string | null, isFleeting: boolean): void => {
      // A later decision on the same study takes the place of one that was refused.
      outbox
        .snapshot()
        .filter((one) => one.studyId === studyId && one.refusal !== null)
        .forEach(({ entryId }) => outbox.discard(entryId));
      outbox.add({ entryId: newEntryId(), studyId, state, to, isFleeting, refusal: null });
    },
    [outbox],
  );
  const isDecided = useEffectEvent((studyId: string) => {
    return decided.current.has(studyId) || items.some((one) => one.studyId === studyId && one.refusal === null);
  });

  useEffect(() => {
    if (id === null) {
      return undefined;
    }
    const controller = new AbortController();
    getWorklist(id, controller.signal).then(
      (worklist) => {
        setHeard({ id, worklist });
        if (mayChange && worklist.state === "new" && !isDecided(id)) {
          decide(id, "opened", null, true);
        }
      },
      // The study itself says what is wrong with it.
      () => undefined,
    );
    return () => controller.abort();
  }, [id, mayChange, decide, news]);

  const set = (state: WorklistState, to?: string): void => {
    if (id !== null) {
      decided.current.add(id);
      decide(id, state, to ?? null, false);
    }
  };
  return {
    worklist: heard?.id === id ? heard.worklist : null,
    refusal: items.findLast((one) => one.studyId === id)?.refusal ?? null,
    waiting: items.filter(({ refusal, isFleeting }) => refusal === null && !isFleeting).length,
    set: id !== null && mayChange ? set : null,
  };
}

function send({ studyId, state, to, isFleeting }: Decision): Promise<Worklist | null> {
  const answer = setWorklist(studyId, state, to);
  return isFleeting ? answer.catch(() => null) : answer;
}
