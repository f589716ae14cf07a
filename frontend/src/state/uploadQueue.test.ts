import { expect, it, vi } from "vitest";

import { ApiError } from "../api/errors";
import type { Study } from "../api/schema";
import type { Send, SendCallbacks } from "../api/upload";
import { aStudy } from "../test/studies";
import { UploadQueue } from "./uploadQueue";

interface Sending extends SendCallbacks {
  readonly name: string;
  readonly succeed: (study: Study, known?: boolean) => void;
  readonly fail: (error: Error) => void;
}

/** A gateway that answers when the test says so. */
function aGateway(): { send: Send; sendings: Sending[] } {
  const sendings: Sending[] = [];
  const send: Send = (file, callbacks) =>
    new Promise((succeed, fail) => {
      sendings.push({ name: file.name, succeed: (study, known = false) => succeed({ study, known }), fail, ...callbacks });
      callbacks.signal.addEventListener("abort", () => fail(new ApiError(0, "Cancelled", "")));
    });
  return { send, sendings };
}

function files(...names: string[]): File[] {
  return names.map((name) => new File(["content"], name));
}

function phases(queue: UploadQueue): string[] {
  return queue.snapshot().map(({ phase }) => phase);
}

it("sends two files at a time, in the order in which they came", async () => {
  const { send, sendings } = aGateway();
  const queue = new UploadQueue(send);
  queue.add(files("a", "b", "c"));
  expect(sendings.map(({ name }) => name)).toEqual(["a", "b"]);
  expect(phases(queue)).toEqual(["sending", "sending", "waiting"]);
  sendings[0]?.succeed(aStudy());
  await vi.waitFor(() => expect(sendings.map(({ name }) => name)).toEqual(["a", "b", "c"]));
  expect(phases(queue)).toEqual(["done", "sending", "sending"]);
});

it("a file that is sent in full is being analysed", () => {
  const { send, sendings } = aGateway();
  const queue = new UploadQueue(send);
  const heard = vi.fn();
  const unsubscribe = queue.subscribe(heard);
  queue.add(files("a"));
  sendings[0]?.onProgress(0.4);
  expect(queue.snapshot()[0]).toMatchObject({ phase: "sending", sent: 0.4 });
  sendings[0]?.onProgress(1);
  expect(phases(queue)).toEqual(["analysing"]);
  const times = heard.mock.calls.length;
  expect(times).toBeGreaterThan(0);
  unsubscribe();
  queue.add(files("b"));
  expect(heard).toHaveBeenCalledTimes(times);
});

it("a failure stands beside its file, does not stop the others, and can be sent again", async () => {
  const { send, sendings } = aGateway();
  const queue = new UploadQueue(send, 1);
  queue.add(files("bad", "good"));
  sendings[0]?.fail(new ApiError(415, "Unsupported file", "The upload is a text file."));
  await vi.waitFor(() => expect(phases(queue)).toEqual(["failed", "sending"]));
  expect(queue.snapshot()[0]?.error?.detail).toBe("The upload is a text file.");
  queue.retry(queue.snapshot()[0]?.id ?? 0);
  expect(phases(queue)).toEqual(["waiting", "sending"]);
  sendings[1]?.succeed(aStudy());
  await vi.waitFor(() => expect(phases(queue)).toEqual(["sending", "done"]));
  expect(queue.snapshot()[0]?.error).toBeNull();
});

it("a file that is too large is never sent", () => {
  const { send, sendings } = aGateway();
  const queue = new UploadQueue(send);
  queue.limitTo(3);
  queue.add(files("large"));
  expect(sendings).toEqual([]);
  expect(queue.snapshot()[0]?.error?.status).toBe(413);
  expect(queue.snapshot()[0]?.error?.detail).toBe("The file has 7 bytes; at most 3 bytes are accepted.");
});

it("a dismissed upload is stopped and makes room", async () => {
  const { send, sendings } = aGateway();
  const queue = new UploadQueue(send, 1);
  queue.add(files("a", "b"));
  queue.dismiss(queue.snapshot()[0]?.id ?? 0);
  expect(sendings[0]?.signal.aborted).toBe(true);
  await vi.waitFor(() => expect(sendings.map(({ name }) => name)).toEqual(["a", "b"]));
  expect(queue.snapshot().map(({ file }) => file.name)).toEqual(["b"]);
});

it("tells of each study whether it came alone", async () => {
  const { send, sendings } = aGateway();
  const queue = new UploadQueue(send);
  const heard = vi.fn<(id: string, alone: boolean, known: boolean) => void>();
  queue.onRead((study, alone, known) => heard(study.id, alone, known));
  queue.add(files("a", "b"));
  sendings[0]?.succeed(aStudy({ id: "first" }));
  await vi.waitFor(() => expect(heard).toHaveBeenCalledWith("first", false, false));
  queue.add(files("c"));
  sendings[2]?.succeed(aStudy({ id: "single" }), true);
  await vi.waitFor(() => expect(heard).toHaveBeenCalledWith("single", true, true));
  expect(queue.snapshot().find(({ study }) => study?.id === "single")?.known).toBe(true);
  queue.dismissOf("single");
  queue.clearSettled();
  expect(queue.snapshot().map(({ file }) => file.name)).toEqual(["b"]);
});
