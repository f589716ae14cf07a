import type { Page } from "@playwright/test";

import type { Me } from "../src/api/schema";
import { violations } from "./barriers";
import { asUpload, unseenSample } from "./samples";
import { type App, expect, test } from "./app";

/** States of the page that a person reaches in a few steps, each without barriers (WCAG 2.2 AA). */
async function opened(app: App, name: string): Promise<string> {
  const { id } = await app.send(unseenSample(name));
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  return id;
}

async function readsFirst(page: Page): Promise<void> {
  await page.route("**/api/v1/me", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...((await response.json()) as Me), reads_first: true } });
  });
}

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

for (const colorScheme of ["light", "dark"] as const) {
  test.describe(`in ${colorScheme} colours`, () => {
    test.use({ colorScheme });

    test("the form of a first opinion, one that is too long, and opinions beside the answers", async ({ app, page }) => {
      await readsFirst(page);
      await opened(app, "state-first.dcm");
      const form = app.result.getByRole("region", { name: "What do you see?" });
      await form.getByLabel("Effusion").check();
      expect(await violations(page)).toEqual([]);
      await form.getByRole("textbox", { name: "Comment" }).fill("x".repeat(5000));
      await form.getByRole("button", { name: "Keep this and show the answers" }).click();
      await expect(form.getByRole("alert")).toBeVisible();
      expect(await violations(page)).toEqual([]);
      await form.getByRole("textbox", { name: "Comment" }).fill("left base");
      await form.getByRole("button", { name: "Keep this and show the answers" }).click();
      await expect(app.result.getByRole("region", { name: "First opinions" })).toBeVisible();
      expect(await violations(page)).toEqual([]);
    });

    test("the form of a review, what is refused in it, and a word that the gateway refused", async ({ app, page, watch }) => {
      await opened(app, "state-review.dcm");
      watch.expectRefusal(409, /\/review\//);
      const detail = "The study was analysed again.";
      await page.route(/\/review\/[0-9a-f-]{36}$/, (route) =>
        route.fulfill({ status: 409, contentType: "application/problem+json", json: { title: "Conflict", status: 409, detail } }),
      );
      await app.result.getByRole("group", { name: /^Review of/ }).first().getByRole("button").first().click();
      await expect(app.result.getByText("Not kept.")).toBeVisible();
      await app.viewport.focus();
      await page.keyboard.press("c");
      const form = app.result.getByRole("form", { name: "What was missed" });
      await form.getByLabel("Finding").selectOption("Fracture");
      await form.getByRole("textbox", { name: "Comment" }).fill("x".repeat(5000));
      await form.getByRole("button", { name: "Keep" }).click();
      await expect(form.getByRole("alert")).toBeVisible();
      expect(await violations(page)).toEqual([]);
    });

    test("the tray with a file that failed and one that is on its way", async ({ app, page, watch }) => {
      watch.expectRefusal(415, /\/api\/v1\/studies$/);
      await opened(app, "state-tray.dcm");
      await app.choose([asUpload("notes.txt", Buffer.from("Only words."))]);
      await expect(app.tray.getByRole("alert")).toBeVisible();
      let answer = (): void => undefined;
      const answered = new Promise<void>((resolve) => (answer = resolve));
      await page.route("**/api/v1/studies", async (route) => {
        await answered;
        await route.abort();
      });
      await app.choose([asUpload("late.txt", Buffer.from("More words."))]);
      await expect(app.tray.getByRole("progressbar")).toBeVisible();
      expect(await violations(page)).toEqual([]);
      await app.tray.getByRole("button", { name: "Cancel late.txt" }).click();
      answer();
      await page.unrouteAll({ behavior: "wait" });
    });

    test("the earlier image beside the current one, under a lens, with all measures", async ({ app, page }) => {
      await app.send(unseenSample("state-before.dcm"));
      await opened(app, "state-now.dcm");
      await page.keyboard.press("p");
      await expect(page.locator("[data-prior]")).toBeVisible();
      await expect(app.result.getByRole("table", { name: "The model's percentages, then and now" })).toBeVisible();
      await page.keyboard.press("o");
      await page.keyboard.press("v");
      await app.radiograph.hover({ force: true });
      await expect(page.locator("[data-lens]")).toBeVisible();
      expect(await violations(page)).toEqual([]);
    });

    test.describe("on a phone", () => {
      test.use(PHONE);

      test("an open study, its report, and the list over it", async ({ app, page }) => {
        await opened(app, "state-phone.dcm");
        expect(await violations(page)).toEqual([]);
        await app.result.getByRole("button", { name: "Report" }).click();
        await expect(app.result.getByRole("form", { name: "Report" })).toBeVisible();
        expect(await violations(page)).toEqual([]);
        await page.getByRole("button", { name: "Show the list of studies" }).click();
        await expect(app.list).toBeVisible();
        expect(await violations(page)).toEqual([]);
      });
    });
  });
}

test.describe("in Korean", () => {
  test.use({ locale: "ko-KR" });

  test("an open study with a review's form, and the help", async ({ app, page }) => {
    const { id } = await app.send(unseenSample("state-korean.dcm"));
    await page.goto(`/studies/${id}`);
    await expect(app.radiograph).toHaveAttribute("data-phase", "shown");
    await page.keyboard.press("c");
    await expect(page.getByRole("form")).toBeVisible();
    expect(await violations(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await app.viewport.focus();
    await page.keyboard.press("?");
    await expect(page.getByRole("dialog", { name: "도움말과 설정" })).toBeVisible();
    expect(await violations(page)).toEqual([]);
  });
});
