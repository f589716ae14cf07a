import base from "./playwright.config";

/** Sign-in: against a closed system and a provider, which tests/e2e/test_sign_in.py starts. */
export default { ...base, testDir: "e2e-access" };
