import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { APIRequestContext, Browser, BrowserContext } from "@playwright/test";

import type { Report, Review, Study, StudyPage, Worklist } from "../src/api/schema";
import { App, asNight, expect, test } from "./readers";
import { startDetector, stopDetector } from "../e2e/detector";
import { asUpload, variable } from "../e2e/samples";

const FOLDER = variable("CXR_NIGHT_DIR");
const FILES = readdirSync(FOLDER).sort();
/** Behind a log-in only what comes from the gateway's own address may change anything. */
const OWN = { Origin: new URL(variable("CXR_BASE_URL")).origin };
/** As hospital devices send: several at once. */
const SENDERS = 4;

async function got<Answer>(api: APIRequestContext, path: string): Promise<Answer> {
  const response = await api.get(`/api/v1${path}`);
  expect(response.status(), path).toBe(200);
  return (await response.json()) as Answer;
}

/** Sends what is left of `names`, one after another; how many studies came of it. */
async function sendAll(api: APIRequestContext, names: string[]): Promise<number> {
  let sent = 0;
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    const file = asUpload(name, readFileSync(join(FOLDER, name)));
    const response = await api.post("/api/v1/studies", { multipart: { file }, headers: OWN });
    expect(response.status(), await response.text()).toBe(201);
    sent += 1;
  }
  return sent;
}

async function reader(browser: Browser, name: string): Promise<{ context: BrowserContext; app: App }> {
  const context = await asNight(browser, name);
  return { context, app: new App(await context.newPage(), context.request) };
}

async function find(app: App, text: string): Promise<Study> {
  await app.page.keyboard.press("/");
  await app.page.getByRole("searchbox", { name: "Search studies" }).fill(text);
  const row = app.list.locator("[data-study]").filter({ hasText: text });
  await expect(row).toHaveCount(1);
  await row.click();
  return app.showsStudy();
}

test("a night of 200 studies, two readers, a lost connection and a lost service", async ({ browser, request }) => {
  // They arrive while people work.
  const [early, late] = [FILES.slice(0, 40), FILES.slice(40)];
  expect(FILES).toHaveLength(200);
  expect(await sendAll(request, early)).toBe(40);
  const arriving = Promise.all(Array.from({ length: SENDERS }, () => sendAll(request, late)));

  const a = await reader(browser, "reader-a");
  const b = await reader(browser, "reader-b");
  await Promise.all([a.app.open(), b.app.open()]);
  await expect(a.app.list.locator("[data-study]").first()).toBeVisible();

  // Found by its file, opened: the archive knows by whom.
  const found = await find(a.app, "007.dcm");
  expect(found.patient.patient_id).toBe("N0007");
  const worklistOf = (id: string): Promise<Worklist> => got<Worklist>(request, `/studies/${id}/worklist`);
  await expect.poll(async () => await worklistOf(found.id)).toMatchObject({ state: "opened", by: "reader-a" });

  // Two readers at one study: each judges, both words are kept, and the second sees the first's.
  const reviewOf = (id: string): Promise<Review> => got<Review>(request, `/studies/${id}/review`);
  const first = a.app.result.getByRole("group", { name: /^Review of/ }).first();
  await first.getByRole("button").first().click();
  await expect.poll(async () => (await reviewOf(found.id)).entries.length).toBe(1);
  await b.app.open(`/studies/${found.id}`);
  await b.app.showsStudy();
  await expect(b.app.result.getByRole("region", { name: /^Review/ })).toContainText("by reader-a");
  await expect(a.app.result.getByRole("region", { name: /^Review/ })).not.toContainText("reader-b");
  await b.app.result.getByRole("group", { name: /^Review of/ }).first().getByRole("button").nth(1).click();
  await expect.poll(async () => (await reviewOf(found.id)).entries.map(({ by }) => by)).toEqual(["reader-a", "reader-b"]);
  // Told by the gateway: the first one's page has not been touched since.
  await expect(a.app.result.getByRole("region", { name: /^Review/ })).toContainText("by reader-b");

  // What was missed is added, and the earlier image of the patient is compared.
  await a.app.viewport.focus();
  await a.app.page.keyboard.press("c");
  const form = a.app.result.getByRole("form", { name: "What was missed" });
  await form.getByLabel("Finding").selectOption("Fracture");
  await form.getByRole("textbox", { name: "Comment" }).fill("sixth rib");
  await form.getByRole("button", { name: "Keep" }).click();
  await expect.poll(async () => (await reviewOf(found.id)).entries.at(-1)).toMatchObject({
    ...{ verdict: "added", label: "Fracture", comment: "sixth rib", by: "reader-a" },
  });
  await a.app.viewport.focus();
  await a.app.page.keyboard.press("p");
  const prior = a.app.page.locator("[data-prior]");
  await expect(prior).toBeVisible();
  const priorId = (await prior.getAttribute("data-prior")) ?? "";
  expect((await got<Study>(request, `/studies/${priorId}`)).patient.patient_id).toBe("N0007");

  // Reported, signed, done.
  await a.app.result.getByRole("button", { name: "Report" }).click();
  const report = a.app.result.getByRole("form", { name: "Report" });
  await report.getByLabel("Impression").fill("Fracture of the sixth rib.");
  await report.getByRole("button", { name: "Sign" }).click();
  await expect(report).toContainText("Version 1, signed");
  const kept = await got<Report>(request, `/studies/${found.id}/report`);
  expect(kept.versions).toMatchObject([{ signed: true, text: { impression: "Fracture of the sixth rib." } }]);
  await a.app.result.getByRole("button", { name: "Done" }).click();
  await expect.poll(async () => await worklistOf(found.id)).toMatchObject({ state: "done", by: "reader-a" });

  // The other one's connection is lost: what was said waits in the browser, and is sent later.
  await b.context.setOffline(true);
  const said = b.app.result.getByRole("group", { name: /^Review of/ }).nth(1);
  await said.getByRole("button").first().click();
  await expect(b.app.result).toContainText("1 entry not sent yet");
  const before = (await reviewOf(found.id)).entries.length;
  await b.context.setOffline(false);
  await expect.poll(async () => (await reviewOf(found.id)).entries.length).toBe(before + 1);
  expect((await reviewOf(found.id)).entries.at(-1)?.by).toBe("reader-b");

  // A service is lost: a partial answer, which is completed once it is back.
  expect((await arriving).reduce((sum, sent) => sum + sent, 0)).toBe(160);
  stopDetector();
  const extra = readFileSync(join(FOLDER, FILES[11] ?? ""));
  extra.fill(7, 0, 128);
  await b.app.choose([asUpload("while-stopped.dcm", extra)]);
  await expect(b.app.result).toContainText("Partial result: the detector is missing");
  const partial = await b.app.showsStudy();
  expect(partial.status).toBe("partial");
  startDetector();
  await b.app.result.getByRole("button", { name: "Analyse again" }).click();
  await expect(b.app.result).not.toContainText("Partial result");
  expect((await got<Study>(request, `/studies/${partial.id}`)).status).toBe("complete");

  // The rest is walked through by key, and each step is done in the archive.
  const all = await got<StudyPage>(request, "/studies?limit=1");
  expect(all.total).toBe(201);
  await a.app.open();
  await expect(a.app.list.locator("[data-study]").first()).toBeVisible();
  const walked: string[] = [];
  await a.app.page.keyboard.press("j");
  for (let step = 0; step < 8; step += 1) {
    const { id } = await a.app.showsStudy();
    expect(walked).not.toContain(id);
    walked.push(id);
    await a.app.page.keyboard.press("d");
    await expect(a.app.page).not.toHaveURL(new RegExp(id));
  }
  for (const id of walked) {
    await expect.poll(async () => await worklistOf(id)).toMatchObject({ state: "done", by: "reader-a" });
  }
  const done = await got<StudyPage>(request, "/studies?worklist=done&limit=1");
  expect(done.total).toBe(walked.length + 1);
  await Promise.all([a.context.close(), b.context.close()]);
});
