import { asUpload, film, sample, unseenSample } from "./films";
import { expect, test } from "./reader";

test("a radiograph is read and opened, with its findings and its priority", async ({ reader, page }) => {
  await reader.open();
  await reader.choose([sample()]);
  const study = await reader.showsStudy();

  expect(study.status).toBe("complete");
  const top = reader.result.getByRole("region", { name: "Most likely findings" });
  await expect(top.getByRole("listitem")).toHaveCount(3);
  for (const [position, finding] of study.top_findings.entries()) {
    const row = top.getByRole("listitem").nth(position);
    await expect(row).toHaveAttribute("data-finding", finding.finding);
    await expect(row).toContainText(finding.positive ? "Positive" : "Negative");
    await expect(row).toContainText("threshold");
  }
  const priority = reader.result.getByRole("region", { name: "Priority" });
  await expect(priority).toContainText(study.triage?.reason ?? "no reason");

  await expect(reader.result.locator("#all-findings")).toBeHidden();
  await reader.result.getByRole("button", { name: "All 14 findings" }).click();
  await expect(reader.result.locator("#all-findings tbody tr")).toHaveCount(14);

  await reader.result.getByText("Models and timings").click();
  for (const model of study.models) {
    await expect(reader.result).toContainText(model.sha256.slice(0, 12));
  }
  await expect(page).toHaveTitle(/Open chest X-ray reader$/);
});

test("several files show their progress, and each is read", async ({ reader, page }) => {
  await reader.open();
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
  await reader.choose(names.map(unseenSample));
  await expect(reader.tray.getByRole("heading")).toHaveText("Reading 3 of 3 files");
  await expect(reader.tray.getByRole("progressbar")).toHaveCount(3);
  await expect(reader.tray.locator('[data-phase="waiting"]')).toHaveCount(1);
  await expect(reader.tray.locator('[data-file="third.dcm"]')).toContainText("Waiting for its turn");
  letThrough();

  await expect(reader.tray.getByRole("heading")).toHaveText("3 files read");
  for (const name of names) {
    const item = reader.tray.locator(`[data-file="${name}"]`);
    await expect(item).toHaveAttribute("data-phase", "done");
    await expect(item).toContainText("Complete");
  }
  await reader.tray.locator('[data-file="second.dcm"]').getByRole("button", { name: "Open" }).click();
  expect((await reader.showsStudy()).file_name).toBe("second.dcm");
  await reader.tray.getByRole("button", { name: "Clear" }).click();
  await expect(reader.tray).toBeHidden();
});

test("a file that is no image is refused in a sentence", async ({ reader, watch }) => {
  watch.expectRefusal(415, /\/api\/v1\/studies$/);
  await reader.open();
  await reader.choose([asUpload("notes.png", Buffer.from("These are only words."))]);
  const item = reader.tray.locator('[data-file="notes.png"]');
  await expect(item).toHaveAttribute("data-phase", "failed");
  const alert = item.getByRole("alert");
  await expect(alert).toContainText(/PNG.*JPEG.*DICOM/);
  await expect(item.getByRole("progressbar")).toHaveCount(0);
  await expect(item.getByRole("button", { name: "Send again" })).toBeVisible();
});

test("a truncated file is refused in a sentence", async ({ reader, watch }) => {
  watch.expectRefusal(422, /\/api\/v1\/studies$/);
  const whole = unseenSample("cut-off.dcm");
  await reader.open();
  await reader.choose([{ ...whole, buffer: whole.buffer.subarray(0, 200_000) }]);
  const item = reader.tray.locator('[data-file="cut-off.dcm"]');
  await expect(item).toHaveAttribute("data-phase", "failed");
  await expect(item.getByRole("alert")).toContainText(/\.\s\S+/);
});

for (const [name, reason] of [
  ["RG3_UNCI.dcm", /EXTREMITY/],
  ["693_UNCI.dcm", /computed tomography/],
  ["US1_UNCI.dcm", /ultrasound/],
] as const) {
  test(`${name} is refused with the reason, and nothing is diagnosed`, async ({ reader }) => {
    await reader.open();
    await reader.choose([film(name)]);
    const study = await reader.showsStudy();
    expect(study.status).toBe("rejected");
    await expect(reader.result).toContainText("Refused: not read");
    await expect(reader.result).toContainText(reason);
    await expect(reader.result).toContainText(study.gate.reason ?? "no reason");
    await expect(reader.result.getByText("Most likely findings")).toHaveCount(0);
    await expect(reader.boxes).toHaveCount(0);
  });
}

test("HTML in a file name is only a name", async ({ reader, page }) => {
  const name = `<img src=x onerror="document.title='run'"><b>bold</b>.dcm`;
  await reader.open();
  const leg = film("RG3_UNCI.dcm");
  leg.buffer.write("inert", 0, "ascii");
  await reader.choose([{ ...leg, name }, sample()]);
  await expect(reader.tray.getByRole("heading")).toHaveText("2 files read");
  const item = reader.tray.locator('[data-phase="done"]').first();
  await expect(item).toContainText("<b>bold</b>.dcm");
  await item.getByRole("button", { name: "Open the study" }).click();
  await expect(reader.result).toContainText("Refused");
  await reader.result.getByText("Patient and file").click();
  await expect(reader.result).toContainText("<b>bold</b>.dcm");
  await expect(page.locator('img[src="x"], b')).toHaveCount(0);
  await expect(page).not.toHaveTitle(/run/);
});
