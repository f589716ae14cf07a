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
    // To record a trace takes a third of the specs' time: asked for, when one has failed.
    trace: process.env["CXR_E2E_TRACE"] === undefined ? "off" : "retain-on-failure",
    launchOptions: {
      executablePath: process.env["CXR_CHROMIUM"] ?? "/usr/bin/chromium",
      args: CHROMIUM_ARGUMENTS,
    },
  },
});
