import { execSync } from "node:child_process";

import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";

import { unseenSample, variable } from "../e2e/samples";
import { expect, test } from "../e2e/app";

const PROVIDER = /^http:\/\/127\.0\.0\.1:\d+\//;
const SIGNED_OUT = /\/api\/v1\//;

test.beforeEach(({ watch }) => {
  // To be asked to sign in is an response like any other.
  watch.expectRefusal(401, SIGNED_OUT);
});

async function signIn(page: Page, name: string): Promise<void> {
  await page.getByRole("link", { name: "Sign in" }).click();
  await expect(page).toHaveURL(PROVIDER);
  await page.getByLabel("Name").fill(name);
  await page.getByRole("button", { name: "Log in" }).click();
}

async function signedIn(page: Page, name: string, path = "/"): Promise<void> {
  const [who = "", department = null] = name.split("@");
  // Each person is told once what this is not.
  const notice = `cxr.notice-accepted ${JSON.stringify(["user", `Test ${who}`, department])}`;
  await page.addInitScript((key) => window.localStorage.setItem(key, "true"), notice);
  await page.goto(path);
  await signIn(page, name);
  await expect(page.getByRole("button", { name: `Test ${who}` })).toBeVisible();
}

async function barriers(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa"]).analyze();
  return violations.map(({ id, help }) => `${id}: ${help}`);
}

test("nobody sees anything but the way in", async ({ page }) => {
  await page.goto("/");
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await expect(page.getByRole("navigation", { name: "Studies" })).toHaveCount(0);
  await expect(page.getByRole("button")).toHaveCount(0);
  expect(await barriers(page)).toEqual([]);
});

test("a clinician signs in, has a radiograph analysed, and signs out everywhere", async ({ page, app }) => {
  await signedIn(page, "clinician@radiology");
  await expect(app.examples).toBeVisible();
  await app.choose([unseenSample("own.dcm")]);
  await expect(app.result).toBeVisible();
  await expect(app.radiograph).toHaveAttribute("data-phase", "shown");

  await page.getByRole("button", { name: "Test clinician" }).click();
  const account = page.getByRole("region", { name: "Account" });
  await expect(account).toContainText("clinician");
  await expect(account).toContainText("radiology");
  expect(await barriers(page)).toEqual([]);
  const address = page.url();
  await account.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Leave" }).click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await page.goto(address);
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  // The provider has forgotten, too: it asks for a name again.
  await page.getByRole("link", { name: "Sign in" }).click();
  await expect(page.getByLabel("Name")).toBeVisible();
});

test("a session that ends meanwhile is reported, and signing in leads back to the same study", async ({
  page,
  app,
}) => {
  await signedIn(page, "clinician@radiology");
  await app.choose([unseenSample("kept.dcm")]);
  await expect(app.result).toBeVisible();
  const address = page.url();
  execSync(variable("CXR_END_SESSIONS"), { stdio: "inherit" });
  await page.keyboard.press("l");
  await page.evaluate(() => window.dispatchEvent(new Event("focus")));
  await expect(page.getByRole("heading", { name: "Your session has ended" })).toBeVisible();
  await expect(app.result).toHaveCount(0);
  // The provider still knows who it is.
  await page.getByRole("link", { name: "Sign in" }).click();
  await expect(page).toHaveURL(address);
  await expect(app.result).toBeVisible();
});

test("a viewer is offered nothing that viewers may not do", async ({ page, app, watch }) => {
  await signedIn(page, "viewer@radiology");
  await expect(page.getByText("Choose a study from the list")).toBeVisible();
  await expect(page.getByRole("button", { name: "Analyse files" })).toHaveCount(0);
  await expect(page.getByLabel("Radiographs to analyse")).toHaveCount(0);
  await expect(app.examples).toHaveCount(0);
  watch.expectRefusal(403, /\/api\/v1\/studies$/);
  const status = await page.evaluate(
    async () => (await fetch("/api/v1/studies", { method: "POST", body: new FormData() })).status,
  );
  expect(status).toBe(403);
});

test("an account without a role sees so and can leave", async ({ page }) => {
  await page.goto("/");
  await signIn(page, "visitor@radiology");
  await expect(page.getByRole("heading", { name: "No access" })).toBeVisible();
  await expect(page.getByText("Test visitor")).toBeVisible();
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("button", { name: "Leave" })).toBeVisible();
});

test("another department's study is not there", async ({ page, app, browser, watch }) => {
  await signedIn(page, "clinician@radiology");
  await app.choose([unseenSample("radiologys.dcm")]);
  await expect(app.result).toBeVisible();
  const path = new URL(page.url()).pathname;

  await page.context().clearCookies();
  watch.expectRefusal(404, /\/api\/v1\/studies\/[0-9a-z]{26}$/);
  await signedIn(page, "clinician@surgery", path);
  await expect(page.getByRole("region", { name: "Study" }).getByRole("alert")).toContainText("There is no such study");
  await expect(page.locator(`[data-study="${path.split("/").at(-1) ?? ""}"]`)).toHaveCount(0);

  const admins = await browser.newPage();
  await signedIn(admins, "admin", path);
  await expect(admins.getByRole("complementary", { name: "Result" })).toBeVisible();
  await admins.close();
});

test("a sign-in that was replayed or not begun here is reported in the page's words", async ({ page }) => {
  let back = "";
  page.on("request", (request) => {
    back = request.url().includes("/sign-in/callback?") ? request.url() : back;
  });
  await signedIn(page, "viewer@radiology");
  await page.context().clearCookies();
  await page.goto(back);
  await expect(page.getByRole("alert")).toContainText("The sign-in did not succeed");
  await expect(page).toHaveURL(/\/$/);
});
