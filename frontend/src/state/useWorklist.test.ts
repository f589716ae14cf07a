import { act, renderHook, waitFor } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";

import type { WorklistState } from "../api/schema";
import { useWorklist } from "./useWorklist";

afterEach(() => {
  vi.unstubAllGlobals();
  window.localStorage.clear();
});

/** A gateway that keeps states; `slow` answers come only when they are let through. */
function aGateway(states: Record<string, WorklistState>) {
  const asked: string[] = [];
  let release = (): void => undefined;
  const gate = { slow: false, release: () => release() };
  vi.stubGlobal("fetch", async (url: string, init?: RequestInit) => {
    const id = url.split("/").at(-2) ?? "";
    const method = init?.method ?? "GET";
    if (method === "PUT") {
      const { state } = JSON.parse(init?.body as string) as { state: WorklistState };
      asked.push(`${id} ${state}`);
      if (gate.slow && state === "opened") {
        await new Promise<void>((resolve) => {
          release = resolve;
        });
      }
      states[id] = state;
    }
    return Response.json({ state: states[id], by: "a.reader", at: null, to: null });
  });
  return { asked, gate, states };
}

it("a new study that is looked at is opened, and a done one stays done", async () => {
  const { asked, states } = aGateway({ a: "new", b: "done" });
  const onChange = vi.fn();
  const { result, rerender } = renderHook(({ id }) => useWorklist(id, true, onChange, 0, "somebody"), {
    initialProps: { id: "a" },
  });
  await waitFor(() => expect(result.current.worklist?.state).toBe("opened"));
  expect(onChange).toHaveBeenCalledWith("a", expect.objectContaining({ state: "opened" }));
  rerender({ id: "b" });
  await waitFor(() => expect(result.current.worklist?.state).toBe("done"));
  expect(asked).toEqual(["a opened"]);
  expect(states).toEqual({ a: "opened", b: "done" });
});

it("whoever may not change it changes nothing by looking", async () => {
  const { asked } = aGateway({ a: "new" });
  const onChange = vi.fn();
  const { result } = renderHook(() => useWorklist("a", false, onChange, 0, "somebody"));
  await waitFor(() => expect(result.current.worklist?.state).toBe("new"));
  expect(result.current.set).toBeNull();
  expect(asked).toEqual([]);
});

it("done is not overtaken by the opening before it", async () => {
  const { asked, gate, states } = aGateway({ a: "new" });
  gate.slow = true;
  const onChange = vi.fn();
  const { result } = renderHook(() => useWorklist("a", true, onChange, 0, "somebody"));
  await waitFor(() => expect(asked).toEqual(["a opened"]));
  act(() => result.current.set?.("done"));
  gate.release();
  await waitFor(() => expect(result.current.worklist?.state).toBe("done"));
  expect(asked).toEqual(["a opened", "a done"]);
  expect(states).toEqual({ a: "done" });
});

it("what is done while the connection is lost is kept, and sent by a page that is opened later", async () => {
  const states: Record<string, WorklistState> = { a: "opened" };
  const { asked } = aGateway(states);
  const online = globalThis.fetch;
  const onChange = vi.fn();
  const first = renderHook(() => useWorklist("a", true, onChange, 0, "somebody"));
  await waitFor(() => expect(first.result.current.worklist?.state).toBe("opened"));
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
  act(() => first.result.current.set?.("done"));
  await waitFor(() => expect(first.result.current.waiting).toBe(1));
  expect(first.result.current.refusal).toBeNull();
  first.unmount();

  vi.stubGlobal("fetch", online);
  renderHook(() => useWorklist(null, true, onChange, 0, "somebody else"));
  expect(asked).toEqual([]);
  const later = renderHook(() => useWorklist(null, true, onChange, 0, "somebody"));
  await waitFor(() => expect(asked).toEqual(["a done"]));
  await waitFor(() => expect(later.result.current.waiting).toBe(0));
  expect(onChange).toHaveBeenCalledWith("a", expect.objectContaining({ state: "done" }));
});

it("that somebody looks is not told later, when it is not true any more", async () => {
  const { asked } = aGateway({ a: "new" });
  const online = globalThis.fetch;
  vi.stubGlobal("fetch", (url: string, init?: RequestInit) =>
    init?.method === "PUT" ? Promise.reject(new TypeError("Failed to fetch")) : online(url, init),
  );
  const onChange = vi.fn();
  const { result } = renderHook(() => useWorklist("a", true, onChange, 0, "somebody"));
  await waitFor(() => expect(result.current.worklist?.state).toBe("new"));
  await waitFor(() => expect(window.localStorage.getItem("cxr.worklist somebody")).toBeNull());
  expect(asked).toEqual([]);
});
