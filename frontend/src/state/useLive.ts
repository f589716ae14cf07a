import { useEffect, useState } from "react";

import { EVENTS_URL } from "../api/urls";

/** What a message of the stream tells the page; the rest it asks for. */
export interface LiveChange {
  readonly kind: string;
  readonly studyId: string;
}

export interface Live {
  /** Whether changes are told as they happen, at this moment. */
  readonly isLive: boolean;
  /** The latest; another array each time. */
  readonly news: readonly LiveChange[];
}

/** Changes come in crowds: they are heard together. */
const GATHER_MS = 400;
const AGAIN_MS = 30_000;

/** Hears of changes as they happen. Without a stream, and while it is cut off, the page asks. */
export function useLive(isOffered: boolean): Live {
  const [isLive, setLive] = useState(false);
  const [news, setNews] = useState<readonly LiveChange[]>([]);
  useEffect(() => {
    if (!isOffered || typeof EventSource === "undefined") {
      return undefined;
    }
    let source: EventSource | null = null;
    let again: ReturnType<typeof setTimeout> | undefined;
    let gathering: ReturnType<typeof setTimeout> | undefined;
    let gathered: LiveChange[] = [];
    const tell = (): void => {
      gathering = undefined;
      const changes = gathered;
      gathered = [];
      setNews(changes);
    };
    const open = (): void => {
      source = new EventSource(EVENTS_URL);
      source.onopen = () => setLive(true);
      source.onerror = () => {
        setLive(false);
        // The browser comes back by itself, unless it was refused.
        if (source?.readyState === EventSource.CLOSED) {
          again = setTimeout(open, AGAIN_MS);
        }
      };
      source.addEventListener("change", ({ data }: MessageEvent<string>) => {
        const change = liveChangeOf(data);
        if (change !== null) {
          gathered.push(change);
          gathering ??= setTimeout(tell, GATHER_MS);
        }
      });
    };
    open();
    return () => {
      source?.close();
      clearTimeout(again);
      clearTimeout(gathering);
      setLive(false);
    };
  }, [isOffered]);
  return { isLive, news };
}

/** Null for what is no change. */
export function liveChangeOf(data: string): LiveChange | null {
  try {
    const { kind, study_id: studyId } = JSON.parse(data) as { kind?: unknown; study_id?: unknown };
    return typeof kind === "string" && typeof studyId === "string" ? { kind, studyId } : null;
  } catch {
    return null;
  }
}
