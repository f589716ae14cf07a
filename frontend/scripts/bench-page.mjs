/**
 * Measures the page as `python -m benchmarks.page` asks; writes JSON to standard output.
 *
 * CXR_BASE_URL: where the system runs. CXR_OWN_GREYS: a study of a DICOM file. CXR_OPENED: so many studies are opened while memory is watched.
 */

import { availableParallelism } from "node:os";

import { chromium } from "@playwright/test";

const baseURL = process.env.CXR_BASE_URL ?? "http://127.0.0.1:8000";
const opened = Number(process.env.CXR_OPENED ?? 300);
const STARTS = Number(process.env.CXR_STARTS ?? 5);
const STEPS = Number(process.env.CXR_STEPS ?? 60);
/** Studies that the page keeps, and what is built once, are in memory by then. */
const WARM = 100;
/** Of a screen of 60 Hz. */
const FRAME_MS = 1000 / 60;

const browser = await chromium.launch({
  executablePath: process.env.CXR_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-precise-memory-info"],
});

async function freshPage() {
  const context = await browser.newContext({ baseURL, viewport: { width: 1440, height: 900 }, locale: "en-GB" });
  await context.addInitScript(() => {
    window.localStorage.setItem('cxr.notice-accepted ["local","local",null]', "true");
    window.localStorage.setItem("cxr.overlay-first", "true");
  });
  return context.newPage();
}

/** By the nearest rank: of twenty values the nineteenth is that which 95% do not exceed. */
const at = (sorted, share) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
const summary = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  return { n: sorted.length, median: at(sorted, 0.5), p95: at(sorted, 0.95), max: sorted.at(-1) };
};

/** From the start of the navigation: first paint, and the moment from which no long task is left. */
async function start() {
  const page = await freshPage();
  await page.addInitScript(() => {
    window.longTasks = [];
    new PerformanceObserver((list) => {
      window.longTasks.push(...list.getEntries().map(({ startTime, duration }) => startTime + duration));
    }).observe({ type: "longtask", buffered: true });
    new MutationObserver(() => {
      if (window.listed === undefined && document.querySelector("[data-study]") !== null) {
        window.listed = performance.now();
      }
    }).observe(document, { childList: true, subtree: true });
  });
  await page.goto("/");
  await page.locator("[data-study]").first().waitFor();
  await page.waitForTimeout(1500);
  const found = await page.evaluate(() => ({
    paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
    listed: window.listed,
    longTasks: window.longTasks,
  }));
  await page.context().close();
  // A task long after the list stands belongs to something else, such as the examples' images.
  const ends = found.longTasks.filter((end) => end < found.listed + 500);
  return { paint: found.paint, interactive: Math.max(found.listed, ...ends) };
}

/** From the press of `j` to the frame in which the next image stands. */
async function nextImage(page) {
  await page.waitForTimeout(900);
  const before = await page.locator('[data-layer="radiograph"]').getAttribute("src");
  // Listening before the key is pressed: one that comes first would count from the start of the page.
  await page.evaluate((src) => {
    const { promise, resolve } = Promise.withResolvers();
    let pressed = 0;
    addEventListener("keydown", () => (pressed = performance.now()), { capture: true, once: true });
    const look = () => {
      const image = document.querySelector('[data-layer="radiograph"]');
      if (image !== null && image.getAttribute("src") !== src && image.dataset.phase === "shown" && image.complete) {
        requestAnimationFrame(() => resolve(performance.now() - pressed));
      } else {
        requestAnimationFrame(look);
      }
    };
    requestAnimationFrame(look);
    window.nextImageShown = promise;
  }, before);
  await page.keyboard.press("j");
  return page.evaluate(() => window.nextImageShown);
}

/** Milliseconds of processor time of the page's main thread between two of its frames, while `act` runs. */
async function frames(page, act) {
  const session = await page.context().newCDPSession(page);
  const events = [];
  session.on("Tracing.dataCollected", ({ value }) => events.push(...value));
  await session.send("Tracing.start", {
    transferMode: "ReportEvents",
    traceConfig: { includedCategories: ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline.frame", "__metadata"] },
  });
  await act();
  const ended = new Promise((resolve) => session.once("Tracing.tracingComplete", resolve));
  await session.send("Tracing.end");
  await ended;
  await session.detach();
  // The renderer whose main thread laid out the most: other pages of the browser are idle.
  const threads = new Map();
  events
    .filter(({ name }) => name === "BeginMainThreadFrame" || name === "BeginFrame" || name === "UpdateLayoutTree")
    .forEach(({ name, pid, tid }) => {
      if (name === "UpdateLayoutTree") {
        threads.set(`${pid} ${tid}`, (threads.get(`${pid} ${tid}`) ?? 0) + 1);
      }
    });
  const main = [...threads].sort(([, a], [, b]) => b - a)[0]?.[0];
  const own = events.filter(({ pid, tid }) => `${pid} ${tid}` === main);
  const starts = own.filter(({ name }) => name === "BeginMainThreadFrame").map(({ ts }) => ts).sort((a, b) => a - b);
  const tasks = own.filter(({ name, ph }) => ph === "X" && name.endsWith("RunTask"));
  return starts.slice(0, -1).map((from, i) => {
    const within = tasks.filter(({ ts }) => ts >= from - 500 && ts < starts[i + 1] - 500);
    return within.reduce((sum, { tdur, dur }) => sum + (tdur ?? dur ?? 0), 0) / 1000;
  });
}

async function drag(page, box, button = "left") {
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.down({ button });
  for (let step = 1; step <= 90; step += 1) {
    await page.mouse.move(x + 60 * Math.sin(step / 8), y + 40 * Math.sin(step / 5));
  }
  await page.mouse.up({ button });
}

/** Memory of the page's scripts after garbage was collected, and what the document holds. */
async function memory(page, session) {
  await page.waitForTimeout(500);
  await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  const of = (name) => metrics.find((metric) => metric.name === name).value;
  return { mb: of("JSHeapUsedSize") / 1e6, nodes: of("Nodes"), listeners: of("JSEventListeners") };
}

/** Scrolls the list from one end to the other, a part of a screen a frame; the times between frames. */
async function scrollThrough(page) {
  const intervals = await page.evaluate(() => {
    const { promise, resolve } = Promise.withResolvers();
    const scroller = document.querySelector("[data-study]").closest("ol").parentElement;
    scroller.scrollTop = 0;
    const times = [];
    const step = (at) => {
      times.push(at);
      if (scroller.scrollTop + scroller.clientHeight < scroller.scrollHeight - 1) {
        scroller.scrollTop += scroller.clientHeight * 0.75;
        requestAnimationFrame(step);
      } else {
        resolve(times.slice(1).map((time, i) => time - times[i]));
      }
    };
    requestAnimationFrame(step);
    return promise;
  });
  const total = Number(await page.locator("li[aria-setsize]").first().getAttribute("aria-setsize"));
  await page.locator(`li[aria-posinset="${total}"] [data-study]`).waitFor();
  return intervals;
}

/** The share of frames that came with the screen's next picture: times between them are whole numbers of it. */
const inTime = (intervals) => intervals.filter((ms) => ms < 1.5 * FRAME_MS).length / intervals.length;

/** Twice: the first time the rows are asked for on the way, the second time all are there. */
async function scrolling() {
  const page = await freshPage();
  await page.goto("/");
  await page.locator("[data-study]").first().waitFor();
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const before = await memory(page, session);
  const first = await scrollThrough(page);
  const read = await memory(page, session);
  const second = await scrollThrough(page);
  const after = await memory(page, session);
  await page.context().close();
  return {
    first: { ...summary(first), in_time: inTime(first) },
    second: { ...summary(second), in_time: inTime(second) },
    ...{ before, read, after },
  };
}

/** The window dragged over a file's own greys, which are drawn anew, not filtered. */
async function windowOfOwnGreys() {
  const page = await freshPage();
  await page.goto(`/studies/${process.env.CXR_OWN_GREYS}`);
  await page.locator('[data-layer="greys"][data-painter]').waitFor({ state: "attached" });
  const image = await page.getByRole("application").boundingBox();
  // The first drag has the browser set up what draws.
  await drag(page, image, "right");
  const found = await frames(page, () => drag(page, image, "right"));
  await page.context().close();
  return found;
}

try {
  const starts = [];
  for (let run = 0; run <= STARTS; run += 1) {
    starts.push(await start());
  }
  // The first fills the caches of the machine.
  const counted = starts.slice(1);
  const page = await freshPage();
  await page.goto("/");
  await page.locator("[data-study]").first().waitFor();
  await page.keyboard.press("j");
  await page.locator('[data-layer="radiograph"][data-phase="shown"]').waitFor();
  const next = [];
  for (let step = 0; step < STEPS; step += 1) {
    next.push(await nextImage(page));
  }

  const list = await page.getByRole("navigation", { name: "Studies" }).boundingBox();
  const image = await page.getByRole("application").boundingBox();
  const pointer = {
    "over the list": await frames(page, async () => {
      for (let step = 0; step < 90; step += 1) {
        await page.mouse.move(list.x + 40 + step, list.y + 200 + 6 * step);
      }
    }),
    "the list is scrolled": await frames(page, async () => {
      await page.mouse.move(list.x + 100, list.y + 400);
      for (let step = 0; step < 60; step += 1) {
        await page.mouse.wheel(0, 120);
      }
    }),
    "the image is moved": await frames(page, () => drag(page, image)),
    "the window is dragged": await frames(page, () => drag(page, image, "right")),
    "the window is dragged, a DICOM file's own greys": await windowOfOwnGreys(),
    "a distance is measured": await frames(page, async () => {
      await page.keyboard.press("m");
      await drag(page, image);
      await page.keyboard.press("m");
    }),
  };

  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const heap = [];
  for (let step = STEPS + 1; step <= opened; step += 1) {
    await page.keyboard.press("j");
    await page.locator('[data-layer="radiograph"][data-phase="shown"]').waitFor();
    if (step === WARM || step === opened || step % 50 === 0) {
      const held = await memory(page, session);
      if (step >= WARM) {
        heap.push({ opened: step, ...held });
      }
    }
  }
  await page.context().close();
  const measured = {
    browser: browser.version(),
    cores: availableParallelism(),
    start: {
      first_paint_ms: summary(counted.map(({ paint }) => paint)).median,
      interactive_ms: summary(counted.map(({ interactive }) => interactive)).median,
      runs: counted,
    },
    next_image_ms: summary(next),
    pointer_ms: Object.fromEntries(Object.entries(pointer).map(([name, values]) => [name, summary(values)])),
    list: await scrolling(),
    heap,
  };
  process.stdout.write(JSON.stringify(measured));
} finally {
  await browser.close();
}
