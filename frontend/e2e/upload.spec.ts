import { asUpload, dicomFile, sample, unseenSample } from "./samples";
import { expect, test } from "./app";

test("a radiograph is analysed and opened, with its findings and its priority", async ({ app, page }) => {
  await app.open();
  await app.choose([sample()]);
  const study = await app.showsStudy();

  expect(study.status).toBe("complete");
  const top = app.result.getByRole("region", { name: "Most likely findings" });
  // The cause of the priority first, then the most likely; the cause may be one of them.
  const cause = study.triage?.cause?.finding ?? null;
  const others = study.top_findings.filter(({ finding }) => finding !== cause);
  const cards = top.locator("[data-finding]");
  await expect(cards).toHaveCount(others.length + (cause === null ? 0 : 1));
  if (cause !== null) {
    await expect(cards.first()).toHaveAttribute("data-finding", cause);
    await expect(cards.first()).toContainText("Why ");
  }
  for (const finding of others) {
    const card = top.locator(`[data-finding="${finding.finding}"]`);
    await expect(card).toContainText(new RegExp(finding.level, "i"));
  }
  const priority = app.result.getByRole("region", { name: "Priority" });
  // Its numbers are shares, as every number of the page.
  const reason = study.triage?.reason.replace(/[01]\.\d{3}/gu, (share) => `${(100 * Number(share)).toFixed(1)}%`);
  await expect(priority).toContainText(reason ?? "no reason");

  await expect(app.result.locator("#all-findings")).toBeHidden();
  await app.result.getByRole("button", { name: "All 14 findings" }).click();
  await expect(app.result.locator("#all-findings tbody tr")).toHaveCount(14);
  const maps = app.result.locator("#all-findings").getByRole("button", { name: /: pneumothorax$/ });
  await maps.click();
  await expect(page.locator('[data-layer="heat map"]')).toHaveAttribute("src", /Pneumothorax\.png$/);
  await expect(page.locator('[data-layer="heat map"]')).toHaveAttribute("data-phase", "shown");

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
  await expect(alert).toContainText("This kind of file is not read.");
  // It would be refused again.
  await expect(item.getByRole("button", { name: "Send again" })).toHaveCount(0);
});

test("a known file says so, opens, and its tray covers neither the list nor the image", async ({ app }) => {
  const file = unseenSample("known.dcm");
  const before = await app.send(file);
  await app.open();
  await app.choose([file]);
  expect((await app.showsStudy()).id).toBe(before.id);
  await expect(app.tray.locator('[data-file="known.dcm"]')).toContainText("this very file was in the archive before");
  const tray = await app.tray.boundingBox();
  for (const part of [app.list, app.viewport, app.result]) {
    const box = await part.boundingBox();
    expect((box?.y ?? 0) + (box?.height ?? 0)).toBeLessThanOrEqual((tray?.y ?? 0) + 1);
    expect(box?.height).toBeGreaterThan(300);
  }
});

test("an address that the page does not have says so", async ({ app, page }) => {
  await app.open("/reports/today");
  await expect(page.getByRole("alert")).toContainText("There is no page at this address");
  await page.getByRole("button", { name: "To the start page" }).click();
  await expect(page).toHaveURL(/\/$/u);
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
