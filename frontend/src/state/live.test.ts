import { renderHook, waitFor } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";

import { isCall } from "./chime";
import { liveChangeOf, useLive } from "./useLive";

class FakeSource {
  static readonly CLOSED = 2;
  static last: FakeSource | null = null;
  readyState = 1;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  close = vi.fn();
  private heard: ((event: { data: string }) => void) | null = null;

  constructor(readonly url: string) {
    FakeSource.last = this;
  }

  addEventListener(_: string, listener: (event: { data: string }) => void): void {
    this.heard = listener;
  }

  say(data: object): void {
    this.heard?.({ data: JSON.stringify(data) });
  }
}

afterEach(() => vi.unstubAllGlobals());

it("a change is told, and what is none is not", () => {
  expect(liveChangeOf('{"kind": "created", "study_id": "a", "more": 1}')).toEqual({ kind: "created", studyId: "a" });
  expect(liveChangeOf('{"kind": 1, "study_id": "a"}')).toBeNull();
  expect(liveChangeOf("still here")).toBeNull();
});

it("changes that come together are heard together, and a cut stream is known", async () => {
  vi.stubGlobal("EventSource", FakeSource);
  const { result, unmount } = renderHook(() => useLive(true));
  expect(FakeSource.last?.url).toBe("/api/v1/events");
  expect(result.current.isLive).toBe(false);
  FakeSource.last?.onopen?.();
  await waitFor(() => expect(result.current.isLive).toBe(true));
  FakeSource.last?.say({ kind: "created", study_id: "a" });
  FakeSource.last?.say({ kind: "worklist", study_id: "b" });
  await waitFor(() => expect(result.current.news).toHaveLength(2));
  FakeSource.last?.onerror?.();
  await waitFor(() => expect(result.current.isLive).toBe(false));
  unmount();
  expect(FakeSource.last?.close).toHaveBeenCalled();
});

it("where the gateway offers no stream, none is asked for", () => {
  vi.stubGlobal("EventSource", FakeSource);
  FakeSource.last = null;
  renderHook(() => useLive(false));
  expect(FakeSource.last).toBeNull();
});

it("more urgent studies call, the first count and fewer do not", () => {
  expect(isCall(null, 3)).toBe(false);
  expect(isCall(3, 4)).toBe(true);
  expect(isCall(4, 4)).toBe(false);
  expect(isCall(4, 2)).toBe(false);
});
