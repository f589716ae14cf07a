import base from "./playwright.config";

/** A night: against a system of its own, which tests/e2e/test_night.py starts. */
export default { ...base, testDir: "e2e-night", timeout: 170_000 };
