import type { StudyPage, StudySummary, Worklist } from "../src/api/schema";
import { sample, unseenSample } from "./samples";
import { expect, type App, test } from "./app";

async function worklistOf(app: App, id: string): Promise<Worklist> {
  const response = await app.page.request.get(`/api/v1/studies/${id}/worklist`);
  return (await response.json()) as Worklist;
}

test("a study is new, opened by being looked at, and done by a key that goes on to the next", async ({ app, page }) => {
  const { id } = await app.send(unseenSample("worklist-one.dcm"));
  const { id: other } = await app.send(unseenSample("worklist-two.dcm"));
  await app.open("/?q=worklist-one");
  const row = app.list.locator(`[data-study="${id}"]`);
  await expect(row).toHaveAttribute("data-work", "new");
  await expect(row).toContainText("new");
  expect((await worklistOf(app, id)).state).toBe("new");

  // The key walks through the list as it was when the study was opened.
  await expect(app.list.locator("[data-study]")).toHaveCount(1);
  await row.click();
  await app.showsStudy();
  await expect(row).toHaveAttribute("data-work", "opened");
  const bar = app.result.getByRole("region", { name: "Worklist" });
  await expect(bar.getByRole("status")).toContainText("Opened");
  expect((await worklistOf(app, id)).state).toBe("opened");

  await app.list.getByLabel("Search studies").fill("worklist-");
  await expect(app.list.locator("[data-study]")).toHaveCount(2);
  await app.viewport.focus();
  await page.keyboard.press("d");
  await expect(page).toHaveURL(new RegExp(`/studies/${other}`));
  await expect(row).toHaveAttribute("data-work", "done");
  await expect(row).toContainText("done");
  expect((await worklistOf(app, id)).state).toBe("done");

  // What is done comes last, and can be taken back.
  const { items } = (await (await page.request.get("/api/v1/studies?limit=200")).json()) as StudyPage;
  const states = items.map(({ worklist }) => worklist.state === "done");
  expect(states).toEqual([...states].sort((a, b) => Number(a) - Number(b)));
  await app.open(`/studies/${id}`);
  await app.showsStudy();
  await expect(bar.getByRole("status")).toContainText("Done");
  await bar.getByRole("button", { name: "Not done" }).click();
  await expect(bar.getByRole("status")).toContainText("Opened");
  expect((await worklistOf(app, id)).state).toBe("opened");
});

test("filters and search stand in the address: reload keeps them, the back button takes them away", async ({ app, page }) => {
  const { id } = await app.send(unseenSample("findable.dcm"));
  await app.open();
  await app.search("findable");
  const rows = app.list.locator("[data-study]");
  await expect(rows).toHaveCount(1);
  await expect(rows).toHaveAttribute("data-study", id);
  await expect(page).toHaveURL(/\?q=findable$/);
  await app.list.getByLabel("Status").selectOption("complete");
  await expect(page).toHaveURL(/status=complete/);
  await page.reload();
  await expect(app.list.getByLabel("Search studies")).toHaveValue("findable");
  await expect(app.list.getByLabel("Status")).toHaveValue("complete");
  await expect(rows).toHaveCount(1);

  await rows.click();
  await app.showsStudy();
  await expect(page).toHaveURL(new RegExp(`/studies/${id}\\?.*q=findable`));
  await page.goBack();
  await page.goBack();
  await expect(app.list.getByLabel("Status")).toHaveValue("");
  await expect(app.list.getByLabel("Search studies")).toHaveValue("findable");
  await page.goBack();
  await expect(app.list.getByLabel("Search studies")).toHaveValue("");
});

test.describe("with 10,000 studies", () => {
  const COUNT = 10_000;
  let asked = 0;

  // Copies of one real study, with ids, names and times of their own, handed out as the gateway does.
  test.beforeEach(async ({ app, page, request }) => {
    await app.sent(sample());
    const { items } = (await (await request.get("/api/v1/studies?limit=1")).json()) as StudyPage;
    const [model] = items;
    if (model === undefined) {
      throw new Error("a study was sent");
    }
    asked = 0;
    await page.route(/\/api\/v1\/studies\?/, async (route) => {
      asked += 1;
      const query = new URL(route.request().url()).searchParams;
      const number = /^P(\d+)$/.exec(query.get("q") ?? "")?.[1];
      const total = number === undefined ? COUNT : 1;
      const start = Number(query.get("cursor") ?? 0);
      const end = Math.min(total, start + Number(query.get("limit")));
      const page = {
        items: Array.from({ length: end - start }, (_, i) => copyOf(model, Number(number ?? start + i))),
        next_cursor: end < total ? String(end) : null,
        total,
      } satisfies StudyPage;
      await route.fulfill({ json: page });
    });
  });

  function copyOf(model: StudySummary, index: number): StudySummary {
    const id = `01m83akp78m9e4ygq5${String(index).padStart(8, "0")}`;
    const patient = { ...model.patient, patient_id: `P${index}`, name: `Copy^${index}` };
    const triage = model.triage === null ? null : { ...model.triage, priority: "urgent" as const };
    return { ...model, id, patient, triage, worklist: { state: "new", by: null, at: null, to: null } };
  }

  test("only the rows in sight are in the document, and the end can be scrolled to", async ({ app }) => {
    await app.open();
    const rows = app.list.locator("[data-study]");
    await expect(rows.first()).toBeVisible();
    await expect(app.list.getByRole("status")).toHaveText("10000 studies");
    expect(await rows.count()).toBeLessThan(40);
    const first = asked;
    await app.list.locator("ol").evaluate((list) => {
      const scroller = list.parentElement;
      scroller?.scrollTo(0, 2_000 * 92);
    });
    await expect(app.list.getByText("Copy, 2000", { exact: true })).toBeVisible();
    expect(await rows.count()).toBeLessThan(40);
    expect(asked - first).toBeLessThan(20);
    expect(await rows.evaluateAll((all) => new Set(all.map(({ textContent }) => textContent)).size)).toBe(
      await rows.count(),
    );
  });

  test("one of them is found by its number", async ({ app }) => {
    await app.open();
    await app.search("P9876");
    await expect(app.list.getByRole("status")).toHaveText("1 study");
    await expect(app.list.locator("[data-study]")).toContainText("Copy, 9876");
  });

  test("the tab counts what is urgent and unread", async ({ app, page }) => {
    await app.open();
    await expect(page).toHaveTitle("(10000) Open chest X-ray reader");
  });
});

test("the keys walk from study to study, and the next image is there before it is asked for", async ({ app, page }) => {
  await app.send(unseenSample("a.dcm"));
  await app.send(unseenSample("b.dcm"));
  const images: string[] = [];
  page.on("request", (request) => {
    if (request.url().endsWith("/image.png")) {
      images.push(request.url());
    }
  });
  await app.open();
  const rows = app.list.locator("[data-study]");
  await expect(rows.first()).toBeVisible();
  const [first, second] = await rows.evaluateAll((all) => all.map((row) => (row as HTMLElement).dataset["study"] ?? ""));
  await page.keyboard.press("j");
  await app.showsStudy();
  expect(app.openId()).toBe(first);
  await expect.poll(() => images.some((url) => url.includes(second ?? "none"))).toBe(true);
  await page.keyboard.press("j");
  await app.showsStudy();
  expect(app.openId()).toBe(second);
  // The opened study may have moved in the list; the way back is the way that was come.
  await page.keyboard.press("k");
  await app.showsStudy();
  expect(app.openId()).toBe(first);
});
