import { type ApiError, asApiError } from "../api/errors";
import type { Waiting } from "../domain/review";

/** Where what is not sent yet outlives the page. */
export interface Shelf<Item> {
  readonly read: () => readonly Item[];
  readonly write: (items: readonly Item[]) => void;
}

/** While the gateway is away, it is asked again so often. */
export const RETRY_MS = 5000;

/**
 * What a reader said, kept until the gateway has it; sent one after another.
 *
 * What the gateway refuses stays here, with the reason, until the reader discards it or says it
 * again: nobody writes a sentence twice.
 */
export class Outbox<Item extends Waiting, Answer> {
  private items: readonly Item[];
  private readonly listeners = new Set<() => void>();
  private isSending = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly shelf: Shelf<Item>,
    private readonly send: (item: Item) => Promise<Answer>,
    private readonly onAnswer: (answer: Answer, item: Item) => void,
    /** Whether a refused item has anything that is worth keeping. */
    private readonly isKept: (item: Item) => boolean = () => true,
  ) {
    this.items = shelf.read();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): readonly Item[] => this.items;

  readonly add = (item: Item): void => {
    this.publish([...this.items, item]);
    void this.flush();
  };

  /** Forgets what was not sent, or was refused; false if it is on its way or was sent. */
  readonly discard = (entryId: string): boolean => {
    const index = this.items.findIndex((item) => item.entryId === entryId);
    if (index === -1 || (this.isSending && index === this.sendingIndex())) {
      return false;
    }
    this.publish(this.items.filter((item) => item.entryId !== entryId));
    return true;
  };

  /** Sends what waits; what fails for the connection's sake is tried again later. */
  readonly flush = async (): Promise<void> => {
    clearTimeout(this.timer);
    if (this.isSending) {
      return;
    }
    this.isSending = true;
    try {
      for (let item = this.next(); item !== undefined; item = this.next()) {
        await this.sendOne(item);
      }
    } catch {
      this.timer = setTimeout(() => void this.flush(), RETRY_MS);
    } finally {
      this.isSending = false;
    }
  };

  readonly stop = (): void => clearTimeout(this.timer);

  private async sendOne(item: Item): Promise<void> {
    try {
      const answer = await this.send(item);
      this.publish(this.items.filter((one) => one !== item));
      this.onAnswer(answer, item);
    } catch (reason) {
      const error = asApiError(reason);
      if (isForLater(error)) {
        throw error;
      }
      const { title, detail } = error;
      const kept = this.isKept(item) ? [{ ...item, refusal: { title, detail } }] : [];
      this.publish(this.items.flatMap((one) => (one === item ? kept : [one])));
    }
  }

  private next(): Item | undefined {
    return this.items[this.sendingIndex()];
  }

  private sendingIndex(): number {
    return this.items.findIndex(({ refusal }) => refusal === null);
  }

  private publish(items: readonly Item[]): void {
    this.items = items;
    this.shelf.write(items);
    this.listeners.forEach((listener) => listener());
  }
}

/** Away, busy, or nobody is signed in: the same may be taken later. */
function isForLater({ status, isConnectionLoss, isSignedOut }: ApiError): boolean {
  return isConnectionLoss || isSignedOut || status === 429 || status >= 500;
}

/** In this browser, for one person: another one's words are not sent as theirs. */
export function browserShelf<Item>(kind: "review" | "worklist" | "first-read", person: string): Shelf<Item> {
  const key = `cxr.${kind} ${person}`;
  return {
    read: () => {
      try {
        const found: unknown = JSON.parse(window.localStorage.getItem(key) ?? "[]");
        return Array.isArray(found) ? (found as Item[]) : [];
      } catch {
        return [];
      }
    },
    write: (items) => {
      try {
        if (items.length === 0) {
          window.localStorage.removeItem(key);
        } else {
          window.localStorage.setItem(key, JSON.stringify(items));
        }
      } catch {
        // Without storage it is kept while the page is open.
      }
    },
  };
}
