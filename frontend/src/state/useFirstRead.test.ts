import { act, renderHook, waitFor } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";

import { aStudy } from "../test/studies";
import { draftKey, useFirstRead } from "./useFirstRead";

afterEach(() => {
  vi.unstubAllGlobals();
  window.localStorage.clear();
});

/** A gateway that keeps opinions, and can be away. */
function aGateway() {
  const gateway = { isAway: false, given: [] as unknown[] };
  vi.stubGlobal("fetch", (_: string, init?: RequestInit) => {
    if (gateway.isAway) {
      return Promise.reject(new TypeError("Failed to fetch"));
    }
    if (init?.method === "PUT") {
      gateway.given.push(JSON.parse(init.body as string));
    }
    return Promise.resolve(Response.json({ study_id: aStudy().id, given: gateway.given.length > 0, reads: [] }));
  });
  return gateway;
}

it("an opinion that is given while the connection is lost is kept, and nothing is shown before it is sent", async () => {
  const gateway = aGateway();
  const study = aStudy();
  window.localStorage.setItem(draftKey(study.id, "somebody"), "{}");
  const first = renderHook(() => useFirstRead(study, true, "somebody"));
  await waitFor(() => expect(first.result.current.reads).not.toBeNull());
  gateway.isAway = true;
  act(() => first.result.current.give(["Mass"], "left"));
  await waitFor(() => expect(first.result.current.isSending).toBe(true));
  expect(first.result.current.isBlind).toBe(true);
  first.unmount();

  gateway.isAway = false;
  const later = renderHook(() => useFirstRead(study, true, "somebody"));
  await waitFor(() => expect(later.result.current.isBlind).toBe(false));
  expect(gateway.given).toEqual([{ findings: ["Mass"], comment: "left" }]);
  expect(window.localStorage.length).toBe(0);
});
