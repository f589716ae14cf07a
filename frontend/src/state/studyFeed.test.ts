import { expect, it } from "vitest";

import { ApiError } from "../api/errors";
import type { StudyPage, StudySummary } from "../api/schema";
import type { StudyQuery } from "../api/urls";
import { aSummary } from "../test/studies";
import { EVERYTHING, FIRST, StudyFeed } from "./studyFeed";

/** An archive behind the transport: its cursor is the id of the last study of a page. */
class Archive {
  studies: StudySummary[];
  readonly asked: StudyQuery[] = [];
  broken = false;

  constructor(count: number) {
    this.studies = Array.from({ length: count }, (_, i) => aSummary(`s${String(i).padStart(5, "0")}`));
  }

  readonly list = (query: StudyQuery): Promise<StudyPage> => {
    this.asked.push(query);
    if (this.broken) {
      return Promise.reject(new ApiError(503, "Unavailable", "The archive is away."));
    }
    const start = query.cursor === null ? 0 : this.studies.findIndex(({ id }) => id === query.cursor) + 1;
    const items = this.studies.slice(start, start + query.limit);
    const isLast = start + items.length >= this.studies.length;
    const next_cursor = isLast ? null : (items.at(-1)?.id ?? null);
    return Promise.resolve({ items, next_cursor, total: this.studies.length });
  };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 0));
const ids = (feed: StudyFeed) => feed.snapshot().studies.map(({ id }) => id);

async function begun(count: number): Promise<{ archive: Archive; feed: StudyFeed }> {
  const archive = new Archive(count);
  const feed = new StudyFeed(archive.list);
  feed.ask(EVERYTHING);
  await settled();
  return { archive, feed };
}

it("reads the beginning, and on as far as somebody wants it", async () => {
  const { archive, feed } = await begun(1000);
  expect(feed.snapshot()).toMatchObject({ total: 1000, phase: "ready" });
  expect(ids(feed)).toHaveLength(FIRST);
  feed.want(450);
  await settled();
  expect(ids(feed)).toHaveLength(500);
  feed.want(Infinity);
  await settled();
  expect(ids(feed)).toEqual(archive.studies.map(({ id }) => id));
  const requests = archive.asked.length;
  feed.want(Infinity);
  await settled();
  expect(archive.asked).toHaveLength(requests);
});

it("a refresh of a long list asks for its beginning alone, and keeps the rest behind it", async () => {
  const { archive, feed } = await begun(1000);
  feed.want(Infinity);
  await settled();
  const [first, second, ...others] = archive.studies;
  if (first === undefined || second === undefined) {
    throw new Error("an archive of 1000");
  }
  // One sinks to the end, and one arrives.
  archive.studies = [aSummary("new"), second, ...others, first];
  archive.asked.length = 0;
  feed.refresh();
  await settled();
  expect(archive.asked).toHaveLength(1);
  expect(ids(feed).slice(0, 2)).toEqual(["new", second.id]);
  expect(new Set(ids(feed)).size).toBe(ids(feed).length);
  expect(ids(feed)).toContain(others.at(FIRST - 2)?.id);
  expect(ids(feed).at(-1)).toBe(others.at(-1)?.id);
});

it("a refresh of a short list reads it again whole", async () => {
  const { archive, feed } = await begun(300);
  feed.want(Infinity);
  await settled();
  archive.studies = archive.studies.slice(1);
  feed.refresh();
  await settled();
  expect(ids(feed)).toEqual(archive.studies.map(({ id }) => id));
});

it("what was heard stays in sight while the gateway is away", async () => {
  const { archive, feed } = await begun(5);
  archive.broken = true;
  feed.refresh();
  await settled();
  expect(ids(feed)).toHaveLength(5);
  expect(feed.snapshot().error?.detail).toBe("The archive is away.");
  archive.broken = false;
  feed.refresh();
  await settled();
  expect(feed.snapshot().error).toBeNull();
});

it("another question forgets the answer to the one before", async () => {
  const { archive, feed } = await begun(5);
  feed.ask({ ...EVERYTHING, priority: "urgent", work: "new", text: " roe " });
  expect(feed.snapshot().studies).toEqual([]);
  await settled();
  expect(archive.asked.at(-1)).toMatchObject({ priorities: ["urgent"], worklist: ["new"], text: "roe", cursor: null });
});

it("a change made here is seen at once", async () => {
  const { feed } = await begun(3);
  feed.mark("s00001", { state: "done", by: "somebody", at: null, to: null });
  expect(feed.snapshot().studies.map(({ worklist }) => worklist.state)).toEqual(["new", "done", "new"]);
});
