import { createHash } from "node:crypto";

import { expect, test } from "./reader";

test("an example is read like any other film, and its name says that it is synthetic", async ({
  reader,
  page,
}) => {
  await reader.open();
  expect(await reader.showsExamples()).toBe(6);
  await expect(reader.examples).toContainText("made by a generator (tiny, version 1), no patient");
  await reader.example("Cardiomegaly").click();
  const study = await reader.showsStudy();

  // What becomes of noise is the gate's to say; the study is there either way.
  expect(["complete", "rejected"]).toContain(study.status);
  expect(study.file_name).toBe("synthetic-cardiomegaly.png");
  expect(study.image).toMatchObject({ width: 512, height: 512, source: "png" });
  expect(study.patient.name).toBeNull();
  const served = await page.request.get("/examples/synthetic-cardiomegaly.png");
  expect(study.content_sha256).toBe(createHash("sha256").update(await served.body()).digest("hex"));
  const row = reader.list.locator(`[data-study="${study.id}"]`);
  await expect(row).toContainText("synthetic-cardiomegaly.png");
});

test("an example can be chosen by keyboard", async ({ reader, page }) => {
  await reader.open();
  await reader.showsExamples();
  await page.getByRole("button", { name: /^Drop chest radiographs here/ }).focus();
  await page.keyboard.press("Tab");
  await expect(reader.example("No finding")).toBeFocused();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await expect(reader.example("Effusion")).toBeFocused();
  await page.keyboard.press("Enter");
  expect((await reader.showsStudy()).file_name).toBe("synthetic-effusion.png");
});
