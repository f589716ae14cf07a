import { sample } from "./samples";
import { expect, test } from "./app";

test.use({ locale: "ko-KR" });

test("the page speaks the browser's language, and another that is chosen", async ({ app, page }) => {
  const { id } = await app.sent(sample());
  await page.goto(`/studies/${id}`);
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
  expect(await page.evaluate(() => document.documentElement.lang)).toBe("ko");
  await expect(page.getByRole("complementary", { name: "결과" })).toBeVisible();
  await expect(page.getByRole("navigation", { name: "검사" })).toBeVisible();
  await page.keyboard.press("?");
  const help = page.getByRole("dialog", { name: "도움말과 설정" });
  await help.getByRole("combobox", { name: "언어" }).selectOption("en");
  await expect(page.getByRole("complementary", { name: "Result" })).toBeVisible();
  expect(await page.evaluate(() => document.documentElement.lang)).toBe("en");
  await page.reload();
  await expect(page.getByRole("complementary", { name: "Result" })).toBeVisible();
});
