import { afterEach, describe, expect, it, vi } from "vitest";

import { getMe, getSystem } from "../api/client";
import { ApiError, asApiError, connectionLost } from "../api/errors";
import type { Me } from "../api/schema";
import { onSignedOut } from "../api/signedOut";
import { signInUrl } from "../api/urls";
import { identityOf, mayOf } from "../domain/access";
import { ASKING, presenceReducer } from "./useMe";

const ME: Me = {
  kind: "user",
  name: "Test",
  roles: ["viewer"],
  department: "radiology",
  may: ["listStudies", "getStudy"],
  can_sign_out: true,
  reads_first: false,
};
const SIGNED_OUT = new ApiError(401, "Not signed in", "Sign in.", null, "/api/v1/sign-in");

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("who sits before the page", () => {
  it("is asked to sign in, and told so if a session has ended", () => {
    const refusal = { type: "failed", error: SIGNED_OUT } as const;
    const first = presenceReducer(ASKING, refusal);
    expect(first).toEqual({ phase: "out", signIn: "/api/v1/sign-in", wasIn: false });
    const ended = presenceReducer(presenceReducer(ASKING, { type: "known", me: ME }), refusal);
    expect(ended).toMatchObject({ phase: "out", wasIn: true });
    expect(presenceReducer(ended, refusal)).toMatchObject({ wasIn: true });
  });

  it("stays signed in while the gateway is away for a moment", () => {
    const away = { type: "failed", error: connectionLost() } as const;
    const known = presenceReducer(ASKING, { type: "known", me: ME });
    expect(presenceReducer(known, away)).toBe(known);
    expect(presenceReducer(ASKING, away)).toMatchObject({ phase: "asking" });
  });

  it("may what the gateway says, and nothing else is offered", () => {
    const { see, ...others } = mayOf(ME);
    expect(see).toBe(true);
    expect(Object.values(others)).not.toContain(true);
    expect(identityOf(ME)).not.toBe(identityOf({ ...ME, department: "surgery" }));
  });
});

describe("a refused request", () => {
  it("tells the page that nobody is signed in any more, but for the question who it is", async () => {
    const body = JSON.stringify({ title: "Not signed in", detail: "x", sign_in: "/api/v1/sign-in" });
    vi.stubGlobal("fetch", () => Promise.resolve(new Response(body, { status: 401 })));
    const heard = vi.fn();
    const forget = onSignedOut(heard);
    const refusal = asApiError(await getMe().catch((error: unknown) => error));
    expect(refusal.signIn).toBe("/api/v1/sign-in");
    expect(heard).not.toHaveBeenCalled();
    await getSystem().catch(() => undefined);
    expect(heard).toHaveBeenCalledOnce();
    forget();
    await getSystem().catch(() => undefined);
    expect(heard).toHaveBeenCalledOnce();
  });
});

it("a sign-in leads back to where the page was", () => {
  expect(signInUrl("/api/v1/sign-in", "/studies/01k6")).toBe("/api/v1/sign-in?return_to=%2Fstudies%2F01k6");
});
