import { createHash } from "node:crypto";

import { expect, test } from "./app";

interface Index {
  generator: { name: string; version: string };
  examples: readonly unknown[];
}

test("an example is analysed like any other radiograph, and its name says that it is synthetic", async ({
  app,
  page,
}) => {
  await app.open();
  const index = (await (await page.request.get("/examples/index.json")).json()) as Index;
  expect(await app.showsExamples()).toBe(index.examples.length);
  const { generator } = index;
  const by = `made by a generator (${generator.name}, version ${generator.version}), no patient`;
  await expect(app.examples).toContainText(by);
  await app.example("Cardiomegaly").click();
  const study = await app.showsStudy();

  expect(study.status).toBe("complete");
  expect(study.file_name).toBe("synthetic-cardiomegaly.png");
  expect(study.image).toMatchObject({ width: 512, height: 512, source: "png" });
  expect(study.patient.name).toBeNull();
  const served = await page.request.get("/examples/synthetic-cardiomegaly.png");
  expect(study.content_sha256).toBe(createHash("sha256").update(await served.body()).digest("hex"));
  const row = app.list.locator(`[data-study="${study.id}"]`);
  await expect(row).toContainText("synthetic-cardiomegaly.png");
});

test("an example can be chosen by keyboard", async ({ app, page }) => {
  await app.open();
  await app.showsExamples();
  await page.getByRole("button", { name: /^Drop chest radiographs here/ }).focus();
  await page.keyboard.press("Tab");
  await expect(app.example("No finding")).toBeFocused();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await expect(app.example("Effusion")).toBeFocused();
  await page.keyboard.press("Enter");
  expect((await app.showsStudy()).file_name).toBe("synthetic-effusion.png");
});
