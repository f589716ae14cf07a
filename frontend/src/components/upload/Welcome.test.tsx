import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import type { Send } from "../../api/upload";
import { UploadQueue } from "../../state/uploadQueue";
import { Welcome } from "./Welcome";

const INDEX = {
  generator: { name: "pggan-64", version: "2", sha256: "ab".repeat(32), side_px: 64 },
  examples: [
    { file: "synthetic-no-finding.png", labels: [], seed: 1, truncation: null, side_px: 512 },
    { file: "synthetic-mass.png", labels: ["Mass"], seed: 2, truncation: null, side_px: 512 },
  ],
};
const TITLE = "No radiograph at hand? Try an example";

/** What lies beside the page, by its address; null: that file is gone. */
let served: Record<string, unknown>;
const asked: string[] = [];
const answers: Response[] = [];
const add = vi.fn<(file: File) => void>();

beforeEach(() => {
  served = { "/examples/index.json": INDEX, "/examples/synthetic-mass.png": new Blob(["pixels"]) };
  asked.length = 0;
  answers.length = 0;
  add.mockReset();
  vi.stubGlobal("fetch", (url: string) => {
    asked.push(url);
    const found = served[url];
    const answer = found instanceof Blob ? new Response(found) : jsonOf(url, found);
    answers.push(answer);
    return Promise.resolve(answer);
  });
});

function jsonOf(url: string, found: unknown): Response {
  const problem = { title: "Not found", detail: `There is nothing at ${url}.` };
  return found === undefined ? Response.json(problem, { status: 404 }) : Response.json(found);
}

afterEach(() => {
  vi.unstubAllGlobals();
});

function show(onChooseFiles: (() => void) | null = () => undefined): void {
  render(<Welcome system={null} onChooseFiles={onChooseFiles} onFile={add} />);
}

function choose(image: string): Promise<void> {
  return userEvent.click(screen.getByRole("button", { name: `Analyse a synthetic radiograph: ${image}` }));
}

it("offers the examples, says that they show nobody, and what each was asked for", async () => {
  show();
  const examples = await screen.findByRole("region", { name: TITLE });
  expect(examples.textContent).toContain("made by a generator (pggan-64, version 2), no patient");
  const images = within(examples).getAllByRole("listitem");
  expect(images.map((image) => image.textContent)).toEqual([
    "Analyse a synthetic radiograph: No finding",
    "Analyse a synthetic radiograph: Mass",
  ]);
  const sources = images.map((image) => image.querySelector("img")?.getAttribute("src"));
  expect(sources).toEqual(["/examples/synthetic-no-finding.png", "/examples/synthetic-mass.png"]);
});

it("sends a chosen example the way of every file", async () => {
  const send = vi.fn<Send>(() => new Promise(() => undefined));
  const queue = new UploadQueue(send);
  add.mockImplementation((file) => queue.add([file]));
  show();
  await screen.findByRole("region", { name: TITLE });
  await choose("Mass");
  await vi.waitFor(() => expect(queue.snapshot()).toHaveLength(1));
  const file = send.mock.calls[0]?.[0];
  expect(file?.name).toBe("synthetic-mass.png");
  expect(file?.type).toBe("image/png");
  expect(await file?.text()).toBe("pixels");
});

it("can be used by keyboard alone", async () => {
  show();
  await screen.findByRole("region", { name: TITLE });
  // The drop target, the first image, the second.
  await userEvent.tab();
  await userEvent.tab();
  await userEvent.tab();
  await userEvent.keyboard("{Enter}");
  await vi.waitFor(() => expect(add).toHaveBeenCalledOnce());
  expect(add.mock.calls[0]?.[0].name).toBe("synthetic-mass.png");
});

it("says in a sentence that an image cannot be fetched, and fetches it when asked again", async () => {
  const gone = served["/examples/synthetic-mass.png"];
  served["/examples/synthetic-mass.png"] = undefined;
  show();
  await screen.findByRole("region", { name: TITLE });
  await choose("Mass");
  const alert = await screen.findByRole("alert");
  expect(alert.textContent).toBe(
    "The example could not be fetched. There is nothing at /examples/synthetic-mass.png.",
  );
  expect(add).not.toHaveBeenCalled();
  served["/examples/synthetic-mass.png"] = gone;
  await choose("Mass");
  await vi.waitFor(() => expect(add).toHaveBeenCalledOnce());
  expect(screen.queryByRole("alert")).toBeNull();
});

it("fetches one image at a time, however often it is clicked", async () => {
  show();
  await screen.findByRole("region", { name: TITLE });
  let arrive = (): void => undefined;
  const stillComing = new Promise<Response>((resolve) => {
    arrive = () => resolve(new Response("pixels"));
  });
  const fetched = vi.fn<typeof fetch>(() => stillComing);
  vi.stubGlobal("fetch", fetched);
  await choose("Mass");
  await choose("Mass");
  await choose("No finding");
  expect(fetched).toHaveBeenCalledOnce();
  expect(screen.getByRole("button", { name: /Mass$/ }).getAttribute("aria-busy")).toBe("true");
  arrive();
  await vi.waitFor(() => expect(add).toHaveBeenCalledOnce());
});

it("does not claim that a generator without labels was asked for anything", async () => {
  const [image] = INDEX.examples;
  served["/examples/index.json"] = { ...INDEX, examples: [{ ...image, file: "synthetic-1.png", labels: null }] };
  show();
  const examples = await screen.findByRole("region", { name: TITLE });
  expect(within(examples).getByRole("button").textContent).toContain("Image 1");
  expect(examples.textContent).not.toContain("asked for");
});

it.each([{ generator: null, examples: [] }, undefined])(
  "says nothing of examples where there are none: %j",
  async (index) => {
    served["/examples/index.json"] = index;
    show();
    await vi.waitFor(() => expect(answers[0]?.bodyUsed).toBe(true));
    await new Promise((resolve) => setTimeout(resolve));
    expect(asked).toEqual(["/examples/index.json"]);
    expect(screen.queryByText(TITLE)).toBeNull();
    expect(screen.queryByRole("alert")).toBeNull();
    expect(screen.getByText("Drop chest radiographs here")).toBeTruthy();
  },
);

it("asks for nothing and offers nothing to whoever may not send images", async () => {
  show(null);
  expect(await screen.findByText("Choose a study from the list")).toBeTruthy();
  expect(screen.queryByText(TITLE)).toBeNull();
  expect(asked).toEqual([]);
});
