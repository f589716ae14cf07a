import { expect, test } from "@playwright/test";

// Parsing 1.5 MB of script on a busy machine takes its time.
const SLOWLY = { timeout: 45_000 };

test("the API's description is read and tried under the page's own policy", async ({ page }) => {
  const refused: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") refused.push(message.text());
  });
  await page.goto("/docs");
  await expect(page.getByRole("heading", { name: /Open chest X-ray reader/ })).toBeVisible(SLOWLY);
  const operation = page.locator("#operations-system-getSystem");
  await operation.getByRole("button").first().click();
  await operation.getByRole("button", { name: "Try it out" }).click();
  await operation.getByRole("button", { name: "Execute" }).click();
  await expect(operation.locator(".live-responses-table")).toContainText('"intended_use"', SLOWLY);
  expect(refused).toEqual([]);
});
