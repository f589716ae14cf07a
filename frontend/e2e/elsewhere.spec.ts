import { sample } from "./samples";
import { expect, test } from "./app";

// tests/e2e/conftest.py names the viewers to the gateway.
test("a study leads to another viewer, in a tab that knows nothing of this one", async ({ app, page, context }) => {
  const study = await app.sent(sample());
  const uid = study.patient.study_instance_uid ?? "";
  expect(uid).toMatch(/^[\d.]+$/);
  let referrer: string | null | undefined;
  await context.route("https://pacs.example/**", async (route) => {
    referrer = await route.request().headerValue("referer");
    await route.fulfill({ contentType: "text/html", body: "<title>Other</title><script>document.title = String(window.opener)</script>" });
  });
  await app.open(`/studies/${study.id}`);
  await app.showsStudy();
  const links = app.result.getByRole("list", { name: "Open in another viewer" }).getByRole("link");
  await expect(links).toHaveText(["Open in OHIF", "Open in Weasis"]);
  await expect(links.last()).toHaveAttribute("href", `weasis://%24dicom%3Ars%20-r%20%22studyUID%3D${uid}%22`);
  const [other] = await Promise.all([context.waitForEvent("page"), links.first().click()]);
  await expect(other).toHaveURL(`https://pacs.example/viewer?StudyInstanceUIDs=${uid}`);
  await expect(other).toHaveTitle("null");
  expect(referrer).toBeNull();
  await expect(page).toHaveURL(new RegExp(study.id));
});

test("a study without the identifiers has no link", async ({ app, page }) => {
  const response = await page.request.get("/examples/synthetic-mass.png");
  const { id, patient } = await app.send({ name: "mass.png", mimeType: "image/png", buffer: await response.body() });
  expect(patient.study_instance_uid).toBeNull();
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  await expect(app.result.getByText("Patient and file")).toBeVisible();
  await expect(app.result.getByRole("list", { name: "Open in another viewer" })).toHaveCount(0);
});
