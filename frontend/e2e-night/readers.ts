import type { Browser, BrowserContext } from "@playwright/test";

import { App, expect, test } from "../e2e/app";

/** What a reader's browser remembers: the notice was accepted, and regions are wanted at once. */
function accepted(name: string): { name: string; value: string }[] {
  const notice = `cxr.notice-accepted ${JSON.stringify(["user", name, null])}`;
  return [notice, "cxr.overlay-first"].map((key) => ({ name: key, value: "true" }));
}

/** A browser of its own, which the log-in before the system calls `name`. */
export function asNight(browser: Browser, name: string): Promise<BrowserContext> {
  const origin = new URL(process.env["CXR_BASE_URL"] ?? "").origin;
  return browser.newContext({
    baseURL: origin,
    viewport: { width: 1440, height: 900 },
    extraHTTPHeaders: { "X-Forwarded-User": name },
    storageState: {
      cookies: [],
      origins: [{ origin, localStorage: accepted(name) }],
    },
  });
}

export { App, expect, test };
