import { useEffect, useSyncExternalStore } from "react";

import type { Waiting } from "../domain/review";
import type { Outbox } from "./outbox";

/** What waits in an outbox, which is emptied when the page begins and when the network is back. */
export function useOutbox<Item extends Waiting, Answer>(outbox: Outbox<Item, Answer>): readonly Item[] {
  useEffect(() => {
    const flush = (): void => void outbox.flush();
    flush();
    window.addEventListener("online", flush);
    return () => {
      window.removeEventListener("online", flush);
      outbox.stop();
    };
  }, [outbox]);
  return useSyncExternalStore(outbox.subscribe, outbox.snapshot);
}
