import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";

import { ApiError } from "../../api/errors";
import type { Study } from "../../api/schema";
import { INITIAL_VIEWER } from "../../state/viewer";
import { aStudy, EFFUSION_BOX } from "../../test/studies";
import { ResultPanel } from "./ResultPanel";

interface Shown {
  readonly error?: ApiError;
  readonly isRerunning?: boolean;
  readonly allShown?: boolean;
}

function show(study: Study, { error, isRerunning = false, allShown = false }: Shown = {}) {
  const heard = { onRerun: vi.fn(), dispatch: vi.fn(), onFocusBox: vi.fn(), onToggleAll: vi.fn() };
  render(
    <ResultPanel
      study={study}
      error={error ?? null}
      isRerunning={isRerunning}
      mayExport
      state={INITIAL_VIEWER}
      allShown={allShown}
      {...heard}
    />,
  );
  return heard;
}

const PARTIAL = aStudy({
  status: "partial",
  boxes: [],
  problems: [{ service: "detector", kind: "timeout", detail: "No answer within 5 s." }],
});

const REJECTED = aStudy({
  status: "rejected",
  ood: { accepted: false, score: 0.031, threshold: 0.5, reason: "This looks like a photograph." },
  top_findings: [],
  findings: [],
  boxes: [],
  heatmaps: [],
  triage: null,
});

it("says what was found, how sure it is, and whether that counts", () => {
  show(aStudy());
  const top = within(screen.getByRole("region", { name: "Most likely findings" }));
  const rows = top.getAllByRole("listitem");
  expect(rows.map((row) => row.getAttribute("data-finding"))).toEqual(["Effusion", "Nodule", "Hernia"]);
  expect(rows[0]?.textContent).toContain("42%");
  expect(rows[0]?.textContent).toContain("Positive");
  expect(rows[1]?.textContent).toContain("Negative");
  expect(
    top.getByRole("img", { name: "Hernia: probability <1%, threshold 0.2%, positive" }),
  ).toBeTruthy();
  expect(top.getAllByRole("button").map((button) => button.getAttribute("aria-label"))).toEqual([
    "Heat map of effusion",
  ]);
  expect(screen.getByRole("region", { name: "Priority" }).textContent).toContain("Soon");
});

it("hands out the file without the patient", async () => {
  const study = aStudy();
  show(study);
  await userEvent.click(screen.getByText("Patient and file"));
  const link = screen.getByRole("link", { name: "file without the patient" });
  expect(link.getAttribute("href")).toBe(`/api/v1/studies/${study.id}/deidentified?pixels_reviewed=true`);
});

it("says that the bars are not to a straight scale, and ends them where that scale does", () => {
  show(
    aStudy({
      top_findings: [{ finding: "Mass", probability: 0.64, threshold: 0.25, positive: true }],
    }),
  );
  const top = within(screen.getByRole("region", { name: "Most likely findings" }));
  expect(top.getByText(/square-root scale/)).toBeTruthy();
  const [fill, mark] = top.getByRole("img").children;
  expect((fill as HTMLElement).style.width).toBe("80%");
  expect((mark as HTMLElement).style.left).toBe("50%");
});

it("goes to a box, hides a kind of box, and lays a heat map over the image", async () => {
  const { dispatch, onFocusBox } = show(aStudy());
  await userEvent.click(screen.getByRole("button", { name: /^Show effusion, score 0.66/ }));
  expect(dispatch).toHaveBeenCalledWith({ type: "boxSelected", index: 0 });
  expect(onFocusBox).toHaveBeenCalledWith(EFFUSION_BOX);
  await userEvent.click(screen.getByRole("checkbox"));
  expect(dispatch).toHaveBeenCalledWith({ type: "findingToggled", finding: "Effusion" });
  await userEvent.click(screen.getByRole("button", { name: "Heat map of effusion" }));
  expect(dispatch).toHaveBeenCalledWith({ type: "heatmapSet", finding: "Effusion" });
});

it("a partial result names the service that is missing, and can be asked for again", async () => {
  const { onRerun } = show(PARTIAL);
  expect(screen.getByText("Partial result: the detector is missing")).toBeTruthy();
  expect(screen.getByText(/did not respond in time/u).textContent).toContain("No answer within 5 s.");
  expect(screen.getByText("Not available: the detector did not respond.")).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Analyse again" }));
  expect(onRerun).toHaveBeenCalledOnce();
});

it("while it is analysed again the button waits, and a failure is announced", () => {
  show(PARTIAL, { isRerunning: true, error: new ApiError(503, "Unavailable", "Both are down.") });
  expect(screen.getByRole("button", { name: "Analysing…" })).toHaveProperty("disabled", true);
  expect(screen.getByRole("alert").textContent).toContain("Both are down.");
});

it("a rejected image shows the reason and its score, and no diagnosis", () => {
  show(REJECTED);
  expect(screen.getByText("This looks like a photograph.")).toBeTruthy();
  expect(screen.getByText(/Likeness to a frontal chest/u).textContent).toContain("3%, needed: 50%");
  expect(screen.queryByRole("region", { name: "Most likely findings" })).toBeNull();
  expect(screen.queryByRole("region", { name: "Priority" })).toBeNull();
  expect(screen.queryByText("Suspicious regions")).toBeNull();
  expect(screen.queryByRole("button", { name: "Analyse again" })).toBeNull();
});

it("a study that could not be analysed says that it is kept", () => {
  const problems = ["classifier", "detector"].map((service) => ({ service, kind: "unreachable", detail: "Down." }));
  show(aStudy({ status: "failed", problems, top_findings: [], findings: [], boxes: [], triage: null }));
  expect(screen.getByText("Not analysed: both models are unavailable")).toBeTruthy();
  expect(screen.getByText("The image is kept and can be analysed again.")).toBeTruthy();
});

it("all findings can be put in another order", async () => {
  show(aStudy(), { allShown: true });
  const names = () =>
    screen.getAllByRole("rowheader").flatMap((cell) => cell.closest("tr")?.getAttribute("data-finding") ?? []);
  expect(names()).toEqual(["Effusion", "Nodule", "Hernia"]);
  await userEvent.selectOptions(screen.getByRole("combobox", { name: "Order" }), "name");
  expect(names()).toEqual(["Effusion", "Hernia", "Nodule"]);
});

it("HTML in a name is text", () => {
  show(aStudy({ file_name: "<img src=x onerror=alert(1)>" }));
  expect(screen.getByRole("heading", { level: 2 }).textContent).toBe("<img src=x onerror=alert(1)>");
  expect(document.querySelector("img")).toBeNull();
});

it("says of each region its score and what it is made of", () => {
  const fracture = { ...EFFUSION_BOX, finding: "Fracture" as const, score: 0.31, detector_score: 0.35 };
  show(aStudy({ boxes: [EFFUSION_BOX, { ...fracture, classifier_probability: null }] }));
  const regions = within(screen.getByRole("region", { name: /^Suspicious regions/ }));
  expect(regions.getByText(/^By the rescored/)).toBeTruthy();
  expect(screen.getByText("lite0-nih14--yolov5n-both")).toBeTruthy();
  const effusion = regions.getByRole("button", {
    name: "Show effusion, score 0.66, made of detector 0.81 and classifier 42%",
  });
  expect(effusion.textContent).toBe("score 0.66detector 0.81 · classifier 42%100 × 50 px");
  expect(
    regions.getByRole("button", {
      name: "Show fracture, score 0.31, made of detector 0.35 and no classifier label",
    }).textContent,
  ).toContain("score 0.31");
});

it("says that the detector's own score counts where nothing was rescored", () => {
  show(aStudy({ boxes: [{ ...EFFUSION_BOX, score: 0.81 }], rescoring: null }));
  const regions = within(screen.getByRole("region", { name: /^Suspicious regions/ }));
  expect(regions.getByText(/^By the detector's own score/)).toBeTruthy();
  const effusion = regions.getByRole("button", {
    name: "Show effusion, score 0.81, classifier 42%",
  });
  expect(effusion.textContent).toContain("score 0.81classifier 42%");
});

it("says what was odd in the file, and nothing where nothing was", () => {
  const note = "RescaleSlope (0028,1053) is no single number and was passed over.";
  const plain = aStudy({});
  show(plain);
  expect(screen.queryByText("About the file")).toBeNull();
  show({ ...plain, image: { ...plain.image, notes: [note] } });
  screen.getByText("About the file");
  screen.getByText(note);
});
