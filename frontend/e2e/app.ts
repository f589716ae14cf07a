import { writeFileSync } from "node:fs";

import { type APIRequestContext, expect, type Locator, type Page, test as base } from "@playwright/test";

import type { Study } from "../src/api/schema";
import { Watch } from "./watch";

export interface UploadedFile {
  readonly name: string;
  readonly mimeType: string;
  readonly buffer: Buffer;
}

/** Ids of studies by the names of their files. */
const SENT = new Map<string, string>();

/** The page as a person sees it: its parts by their names, and what can be done with them. */
export class App {
  readonly result: Locator;
  readonly viewport: Locator;
  readonly radiograph: Locator;
  readonly boxes: Locator;
  readonly tray: Locator;
  readonly list: Locator;
  readonly examples: Locator;

  constructor(
    readonly page: Page,
    private readonly api: APIRequestContext,
  ) {
    this.result = page.getByRole("complementary", { name: "Result" });
    this.viewport = page.getByRole("application");
    this.radiograph = page.locator('[data-layer="radiograph"]');
    this.boxes = this.viewport.locator("rect[data-finding]");
    this.tray = page.getByRole("region", { name: "Uploads" });
    this.list = page.getByRole("navigation", { name: "Studies" });
    this.examples = page.getByRole("region", { name: "No radiograph at hand? Try an example" });
  }

  async open(path = "/"): Promise<void> {
    await this.page.goto(path);
    await expect(this.page.getByRole("heading", { level: 1 })).toBeVisible();
    // What the gateway says of itself is asked for when the page begins to hear keys.
    await expect(this.page.locator("footer")).toContainText(/\d+\.\d+/u);
  }

  async choose(files: readonly UploadedFile[]): Promise<void> {
    const picker = this.page.getByLabel("Radiographs to analyse");
    await picker.setInputFiles(inFolder(files) ?? [...files]);
  }

  /** Goes to the search by its key, and types. */
  async search(text: string): Promise<void> {
    await this.page.keyboard.press("/");
    // The key's effect comes with the next frame; what is typed before that are keys, too.
    await expect(this.list.getByLabel("Search studies")).toBeFocused();
    await this.page.keyboard.type(text);
  }

  /** The button of the example that was asked to show `finding`. */
  example(finding: string): Locator {
    return this.examples.getByRole("button", { name: `Analyse a synthetic radiograph: ${finding}`, exact: true });
  }

  /** Waits until the images of all examples are there; how many they are. */
  async showsExamples(): Promise<number> {
    await expect(this.examples).toBeVisible();
    const images = this.examples.getByRole("listitem").locator("img");
    await expect
      .poll(() =>
        images.evaluateAll((all) =>
          all.every((image) => image instanceof HTMLImageElement && image.naturalWidth > 0),
        ),
      )
      .toBe(true);
    return images.count();
  }

  /** Waits until the study of the address stands on the page, its image too. */
  async showsStudy(): Promise<Study> {
    await expect(this.page).toHaveURL(/\/studies\/[0-9a-z]{26}(\?|$)/);
    await expect(this.result).toBeVisible();
    await expect(this.radiograph).toHaveAttribute("data-phase", "shown");
    return this.study(this.openId());
  }

  openId(): string {
    return new URL(this.page.url()).pathname.split("/").at(-1) ?? "";
  }

  /** What the REST API says, asked without the page. */
  async study(id: string): Promise<Study> {
    const response = await this.api.get(`/api/v1/studies/${id}`);
    expect(response.status()).toBe(200);
    return (await response.json()) as Study;
  }

  /** The study of one of the public files, which is sent once by each process of specs. */
  async sent(file: UploadedFile): Promise<Study> {
    const known = SENT.get(file.name);
    const study = await (known === undefined ? this.send(file) : this.study(known));
    SENT.set(file.name, study.id);
    return study;
  }

  /** Sends a file as a hospital system would. */
  async send(file: UploadedFile): Promise<Study> {
    const response = await this.api.post("/api/v1/studies", { multipart: { file } });
    expect(response.ok(), await response.text()).toBe(true);
    return (await response.json()) as Study;
  }
}

/**
 * Paths of the files, written to the test's folder; null if a name is none of a file. Megabytes are
 * slow on their way through the browser's driver.
 */
function inFolder(files: readonly UploadedFile[]): string[] | null {
  if (files.some(({ name }) => name.includes("/"))) {
    return null;
  }
  return files.map(({ name, buffer }) => {
    const path = test.info().outputPath(name);
    writeFileSync(path, buffer);
    return path;
  });
}

/** What a browser remembers of an earlier visit. */
const REMEMBERED: Readonly<Record<string, string>> = {
  'cxr.notice-accepted ["local","local",null]': "true",
  // Most specs are about the regions; words first has a spec of its own.
  "cxr.overlay-first": "true",
};

interface Options {
  /** Whether the browser knows nothing of the page, and the notice comes. */
  readonly isFirstVisit: boolean;
}

interface Fixtures {
  readonly watch: Watch;
  readonly app: App;
}

/** Every spec fails on a console error or a failed request that it did not announce. */
export const test = base.extend<Fixtures & Options>({
  isFirstVisit: [false, { option: true }],
  page: async ({ page, isFirstVisit }, use) => {
    if (!isFirstVisit) {
      // Not by `storageState`, which opens a page at the origin for each test to write this there.
      await page.addInitScript((remembered) => {
        if (window.location.protocol.startsWith("http")) {
          for (const [key, value] of Object.entries(remembered)) {
            window.localStorage.setItem(key, window.localStorage.getItem(key) ?? value);
          }
        }
      }, REMEMBERED);
    }
    await use(page);
  },
  watch: [
    async ({ page }, use) => {
      const watch = new Watch(page);
      await use(watch);
      expect(watch.troubles(), "errors of the page that the spec did not announce").toEqual([]);
    },
    { auto: true },
  ],
  app: async ({ page, request }, use) => {
    await use(new App(page, request));
  },
});

export { expect };
