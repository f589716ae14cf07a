import { defineConfig, devices } from "@playwright/test";

const baseURL = process.env["CXR_BASE_URL"] ?? "http://127.0.0.1:8000";

/** The browser of the machine: nothing is downloaded for the specs. */
const CHROMIUM_ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

// One worker: the specs share one running system, and one of them stops a part of it.
export default defineConfig({
  testDir: "e2e",
  outputDir: process.env["CXR_E2E_OUTPUT"] ?? "test-results",
  workers: 1,
  fullyParallel: false,
  forbidOnly: process.env["CI"] !== undefined,
  retries: 0,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: [["list"]],
  use: {
    ...devices["Desktop Chrome"],
    baseURL,
    viewport: { width: 1440, height: 900 },
    locale: "en-GB",
    timezoneId: "UTC",
    screenshot: "only-on-failure",
    trace: "retain-on-failure",
    launchOptions: {
      executablePath: process.env["CXR_CHROMIUM"] ?? "/usr/bin/chromium",
      args: CHROMIUM_ARGUMENTS,
    },
    // The notice has a spec of its own.
    storageState: {
      cookies: [],
      origins: [
        {
          origin: new URL(baseURL).origin,
          localStorage: [
            { name: 'cxr.notice-accepted ["local","local",null]', value: "true" },
            // Most specs are about the regions; words first has a spec of its own.
            { name: "cxr.overlay-first", value: "true" },
          ],
        },
      ],
    },
  },
});
