import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { ApiError, connectionLost } from "../api/errors";
import type { Review } from "../api/schema";
import type { Outgoing } from "../domain/review";
import { browserShelf, Outbox, RETRY_MS, type Shelf } from "./outbox";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function item(entryId: string, change: Partial<NonNullable<Outgoing["change"]>> = {}): Outgoing {
  return {
    studyId: "s",
    entryId,
    change: { revision: 1, verdict: "commented", comment: `words of ${entryId}`, ...change },
    refusal: null,
  };
}

function aShelf(): Shelf<Outgoing> & { items: readonly Outgoing[] } {
  const shelf = {
    items: [] as readonly Outgoing[],
    read: () => shelf.items,
    write: (items: readonly Outgoing[]) => {
      shelf.items = items;
    },
  };
  return shelf;
}

/** A gateway that can go away, or refuse. */
function aGateway() {
  const gateway = {
    sent: [] as string[],
    failure: null as ApiError | null,
    send: ({ studyId, entryId }: Outgoing): Promise<Review> => {
      if (gateway.failure !== null) {
        return Promise.reject(gateway.failure);
      }
      gateway.sent.push(entryId);
      return Promise.resolve({ study_id: studyId, revision: 1, entries: [] });
    },
  };
  return gateway;
}

const settled = () => vi.advanceTimersByTimeAsync(0);

it("sends one after another, and forgets what the gateway has", async () => {
  const [gateway, shelf, onAnswer] = [aGateway(), aShelf(), vi.fn()];
  const outbox = new Outbox(shelf, gateway.send, onAnswer);
  outbox.add(item("a"));
  outbox.add(item("b"));
  await settled();
  expect(gateway.sent).toEqual(["a", "b"]);
  expect(shelf.items).toEqual([]);
  expect(onAnswer).toHaveBeenCalledTimes(2);
});

it("what is said while the connection is lost is sent when it is back, even by another page", async () => {
  const [gateway, shelf] = [aGateway(), aShelf()];
  gateway.failure = connectionLost();
  const outbox = new Outbox(shelf, gateway.send, vi.fn());
  outbox.add(item("a"));
  outbox.add(item("b"));
  await settled();
  expect(shelf.items.map(({ entryId }) => entryId)).toEqual(["a", "b"]);
  gateway.failure = null;
  await vi.advanceTimersByTimeAsync(RETRY_MS);
  expect(gateway.sent).toEqual(["a", "b"]);

  shelf.items = [item("c")];
  await new Outbox(shelf, gateway.send, vi.fn()).flush();
  expect(gateway.sent).toEqual(["a", "b", "c"]);
});

it("a refused entry keeps its words and its reason, and holds up nobody", async () => {
  const [gateway, shelf] = [aGateway(), aShelf()];
  gateway.failure = new ApiError(409, "Conflict", "The study was analysed again.");
  const outbox = new Outbox(shelf, gateway.send, vi.fn());
  outbox.add(item("a"));
  await settled();
  gateway.failure = null;
  outbox.add(item("b"));
  await settled();
  expect(gateway.sent).toEqual(["b"]);
  expect(shelf.items).toMatchObject([
    { entryId: "a", change: { comment: "words of a" }, refusal: { detail: "The study was analysed again." } },
  ]);
  expect(outbox.discard("a")).toBe(true);
  expect(shelf.items).toEqual([]);
});

it("one person's words are not sent as another's", () => {
  browserShelf("review", "one").write([item("a")]);
  expect(browserShelf("review", "two").read()).toEqual([]);
  expect(browserShelf("review", "one").read()).toHaveLength(1);
  browserShelf("review", "one").write([]);
});
