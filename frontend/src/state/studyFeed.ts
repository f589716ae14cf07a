import { type ApiError, asApiError } from "../api/errors";
import type { Priority, StudyPage, StudyStatus, StudySummary, Worklist, WorklistState } from "../api/schema";
import type { StudyQuery } from "../api/urls";

/** What the gateway is asked for; null and no text mean all. */
export interface FeedQuery {
  readonly priority: Priority | null;
  readonly status: StudyStatus | null;
  readonly work: WorklistState | null;
  /** Words that must all occur. */
  readonly text: string;
  readonly patientId: string | null;
}

export const EVERYTHING: FeedQuery = { priority: null, status: null, work: null, text: "", patientId: null };

export interface FeedState {
  /** The first of the list, in its order. */
  readonly studies: readonly StudySummary[];
  /** How many there are, read or not. */
  readonly total: number;
  readonly phase: "loading" | "ready";
  readonly error: ApiError | null;
}

export type ListStudies = (query: StudyQuery, signal: AbortSignal) => Promise<StudyPage>;

/** Read at first, and again at each refresh. */
export const FIRST = 100;
/** The gateway's limit for one answer. */
const PAGE_SIZE = 200;
/** Up to here a refresh reads again all that was read; of more, the beginning. */
const REFRESHED = 400;

const EMPTY: FeedState = { studies: [], total: 0, phase: "loading", error: null };

/** The list of the archive, read page by page as far as somebody wants it. Lives outside React. */
export class StudyFeed {
  private state: FeedState = EMPTY;
  private readonly listeners = new Set<() => void>();
  private query: FeedQuery = EVERYTHING;
  private controller = new AbortController();
  private cursor: string | null = null;
  private wanted = FIRST;
  private isStale = true;
  private isReading = false;

  constructor(private readonly list: ListStudies) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): FeedState => this.state;

  /** Begins anew with another question. */
  ask(query: FeedQuery): void {
    this.stop();
    this.query = query;
    this.wanted = FIRST;
    this.cursor = null;
    this.publish(EMPTY);
    this.refresh();
  }

  /** Reads the beginning again: other people work on the same list. */
  readonly refresh = (): void => {
    this.isStale = true;
    void this.read();
  };

  /** Reads on until `count` studies are here, or all. */
  readonly want = (count: number): void => {
    if (count > this.wanted) {
      this.wanted = count;
      void this.read();
    }
  };

  /** Writes down what is known before the next refresh says it. */
  readonly mark = (id: string, worklist: Worklist): void => {
    const studies = this.state.studies.map((study) => (study.id === id ? { ...study, worklist } : study));
    this.publish({ ...this.state, studies });
  };

  /** Drops what is on its way. */
  readonly stop = (): void => {
    this.controller.abort();
    this.controller = new AbortController();
    this.isReading = false;
  };

  private async read(): Promise<void> {
    if (this.isReading) {
      return;
    }
    this.isReading = true;
    const { signal } = this.controller;
    try {
      while (!signal.aborted && (this.isStale || this.isShort())) {
        await (this.isStale ? this.readBeginning(signal) : this.readOn(signal));
      }
    } catch (reason) {
      if (!signal.aborted) {
        // What was heard before stays in sight, with the sentence that says it may be old.
        this.publish({ ...this.state, phase: "ready", error: asApiError(reason) });
      }
    } finally {
      if (!signal.aborted) {
        this.isReading = false;
      }
    }
  }

  private isShort(): boolean {
    return this.cursor !== null && this.state.studies.length < this.wanted;
  }

  private async readBeginning(signal: AbortSignal): Promise<void> {
    this.isStale = false;
    const before = this.state.studies;
    const depth = before.length <= REFRESHED ? Math.max(FIRST, before.length) : FIRST;
    const fresh = new Map<string, StudySummary>();
    let page: StudyPage | null = null;
    do {
      page = await this.page(depth - fresh.size, page?.next_cursor ?? null, signal);
      // By id: a study may move from one page to the next while they are read.
      page.items.forEach((study) => fresh.set(study.id, study));
    } while (page.next_cursor !== null && fresh.size < depth);
    signal.throwIfAborted();
    const kept = page.next_cursor === null ? [] : behind(fresh, before);
    if (kept.length === 0) {
      this.cursor = page.next_cursor;
    }
    this.publish({ studies: [...fresh.values(), ...kept], total: page.total, phase: "ready", error: null });
  }

  private async readOn(signal: AbortSignal): Promise<void> {
    const page = await this.page(PAGE_SIZE, this.cursor, signal);
    signal.throwIfAborted();
    const byId = new Map(this.state.studies.map((study) => [study.id, study]));
    page.items.forEach((study) => byId.set(study.id, study));
    this.cursor = page.next_cursor;
    this.publish({ studies: [...byId.values()], total: page.total, phase: "ready", error: null });
  }

  private page(limit: number, cursor: string | null, signal: AbortSignal): Promise<StudyPage> {
    const { priority, status, work, text, patientId } = this.query;
    const query = {
      priorities: priority === null ? [] : [priority],
      statuses: status === null ? [] : [status],
      worklist: work === null ? [] : [work],
      text: text.trim(),
      patientId,
      limit: Math.min(limit, PAGE_SIZE),
      cursor,
    };
    return this.list(query, signal);
  }

  private publish(state: FeedState): void {
    this.state = state;
    this.listeners.forEach((listener) => listener());
  }
}

/**
 * What stays behind a beginning that was read again.
 *
 * Newcomers push the last of the old beginning back. Others that left it have moved or are gone,
 * and nobody knows where to until their page is read.
 */
export function behind(
  fresh: ReadonlyMap<string, StudySummary>,
  before: readonly StudySummary[],
): StudySummary[] {
  const known = new Set(before.map(({ id }) => id));
  const newcomers = [...fresh.keys()].filter((id) => !known.has(id)).length;
  const left = before.slice(0, fresh.size).filter(({ id }) => !fresh.has(id));
  const pushed = newcomers === 0 ? [] : left.slice(-newcomers);
  return [...pushed, ...before.slice(fresh.size).filter(({ id }) => !fresh.has(id))];
}
