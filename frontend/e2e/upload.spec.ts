import { asUpload, dicomFile, sample, unseenSample } from "./samples";
import { expect, test } from "./app";

test("a radiograph is analysed and opened, with its findings and its priority", async ({ app, page }) => {
  await app.open();
  await app.choose([sample()]);
  const study = await app.showsStudy();

  expect(study.status).toBe("complete");
  const top = app.result.getByRole("region", { name: "Most likely findings" });
  await expect(top.getByRole("listitem")).toHaveCount(3);
  for (const [position, finding] of study.top_findings.entries()) {
    const row = top.getByRole("listitem").nth(position);
    await expect(row).toHaveAttribute("data-finding", finding.finding);
    await expect(row).toContainText(finding.positive ? "Positive" : "Negative");
    await expect(row).toContainText("threshold");
  }
  const priority = app.result.getByRole("region", { name: "Priority" });
  await expect(priority).toContainText(study.triage?.reason ?? "no reason");

  await expect(app.result.locator("#all-findings")).toBeHidden();
  await app.result.getByRole("button", { name: "All 14 findings" }).click();
  await expect(app.result.locator("#all-findings tbody tr")).toHaveCount(14);

  await app.result.getByText("Models and timings").click();
  for (const model of study.models) {
    await expect(app.result).toContainText(model.sha256.slice(0, 12));
  }
  await expect(page).toHaveTitle(/Open chest X-ray reader$/);
});

test("several files show their progress, and each is analysed", async ({ app, page }) => {
  await app.open();
  // Held back until the queue was seen as it is while the first two are on their way.
  let letThrough = (): void => undefined;
  const looked = new Promise<void>((resolve) => {
    letThrough = resolve;
  });
  await page.route("**/api/v1/studies", async (route) => {
    await looked;
    await route.continue();
  });
  const names = ["first.dcm", "second.dcm", "third.dcm"];
  await app.choose(names.map(unseenSample));
  await expect(app.tray.getByRole("heading")).toHaveText("Analysing 3 of 3 files");
  await expect(app.tray.getByRole("progressbar")).toHaveCount(3);
  await expect(app.tray.locator('[data-phase="waiting"]')).toHaveCount(1);
  await expect(app.tray.locator('[data-file="third.dcm"]')).toContainText("Waiting for its turn");
  letThrough();

  await expect(app.tray.getByRole("heading")).toHaveText("3 files analysed");
  for (const name of names) {
    const item = app.tray.locator(`[data-file="${name}"]`);
    await expect(item).toHaveAttribute("data-phase", "done");
    await expect(item).toContainText("Complete");
  }
  await app.tray.locator('[data-file="second.dcm"]').getByRole("button", { name: "Open" }).click();
  expect((await app.showsStudy()).file_name).toBe("second.dcm");
  await app.tray.getByRole("button", { name: "Clear" }).click();
  await expect(app.tray).toBeHidden();
});

test("a file that is no image is refused in a sentence", async ({ app, watch }) => {
  watch.expectRefusal(415, /\/api\/v1\/studies$/);
  await app.open();
  await app.choose([asUpload("notes.png", Buffer.from("These are only words."))]);
  const item = app.tray.locator('[data-file="notes.png"]');
  await expect(item).toHaveAttribute("data-phase", "failed");
  const alert = item.getByRole("alert");
  await expect(alert).toContainText(/PNG.*JPEG.*DICOM/);
  await expect(item.getByRole("progressbar")).toHaveCount(0);
  await expect(item.getByRole("button", { name: "Send again" })).toBeVisible();
});

test("a truncated file is refused in a sentence", async ({ app, watch }) => {
  watch.expectRefusal(422, /\/api\/v1\/studies$/);
  const whole = unseenSample("cut-off.dcm");
  await app.open();
  await app.choose([{ ...whole, buffer: whole.buffer.subarray(0, 200_000) }]);
  const item = app.tray.locator('[data-file="cut-off.dcm"]');
  await expect(item).toHaveAttribute("data-phase", "failed");
  await expect(item.getByRole("alert")).toContainText(/\.\s\S+/);
});

for (const [name, reason] of [
  ["RG3_UNCI.dcm", /EXTREMITY/],
  ["693_UNCI.dcm", /computed tomography/],
  ["US1_UNCI.dcm", /ultrasound/],
] as const) {
  test(`${name} is rejected with the reason, and nothing is diagnosed`, async ({ app }) => {
    await app.open();
    await app.choose([dicomFile(name)]);
    const study = await app.showsStudy();
    expect(study.status).toBe("rejected");
    await expect(app.result).toContainText("Rejected: not analysed");
    await expect(app.result).toContainText(reason);
    await expect(app.result).toContainText(study.ood.reason ?? "no reason");
    await expect(app.result.getByText("Most likely findings")).toHaveCount(0);
    await expect(app.boxes).toHaveCount(0);
  });
}

test("HTML in a file name is only a name", async ({ app, page }) => {
  const name = `<img src=x onerror="document.title='run'"><b>bold</b>.dcm`;
  await app.open();
  const leg = dicomFile("RG3_UNCI.dcm");
  leg.buffer.write("inert", 0, "ascii");
  await app.choose([{ ...leg, name }, sample()]);
  await expect(app.tray.getByRole("heading")).toHaveText("2 files analysed");
  const item = app.tray.locator('[data-phase="done"]').first();
  await expect(item).toContainText("<b>bold</b>.dcm");
  await item.getByRole("button", { name: "Open the study" }).click();
  await expect(app.result).toContainText("Rejected");
  await app.result.getByText("Patient and file").click();
  await expect(app.result).toContainText("<b>bold</b>.dcm");
  await expect(page.locator('img[src="x"], b')).toHaveCount(0);
  await expect(page).not.toHaveTitle(/run/);
});
