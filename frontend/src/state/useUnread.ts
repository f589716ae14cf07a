import { useEffect, useRef, useState } from "react";

import { listStudies } from "../api/client";
import { chime, isCall, SOUND_KEY } from "./chime";
import type { Live } from "./useLive";
import { readFlag } from "./useStored";

const INTERVAL_MS = 20_000;
/** While changes are told as they happen. */
const LIVE_INTERVAL_MS = 300_000;

/** How many urgent studies nobody has opened; asked again when `changed` is another one, and at news. */
export function useUnreadUrgent(changed: unknown, { isLive, news }: Live): number {
  const [count, setCount] = useState(0);
  const last = useRef<number | null>(null);
  useEffect(() => {
    const controller = new AbortController();
    const ask = (): void => {
      const query = { priorities: ["urgent"], worklist: ["new"], statuses: [], limit: 1, cursor: null } as const;
      listStudies(query, controller.signal).then(
        ({ total }) => {
          setCount(total);
          if (isCall(last.current, total) && readFlag(SOUND_KEY) === true) {
            chime();
          }
          last.current = total;
        },
        // The list itself says that the gateway does not answer.
        () => undefined,
      );
    };
    ask();
    const timer = setInterval(ask, isLive ? LIVE_INTERVAL_MS : INTERVAL_MS);
    return () => {
      clearInterval(timer);
      controller.abort();
    };
  }, [changed, news, isLive]);
  return count;
}

/** The number in the tab's title; null where there is nothing to count. */
export function unreadText(count: number): string | null {
  if (count === 0) {
    return null;
  }
  return `(${count})`;
}
