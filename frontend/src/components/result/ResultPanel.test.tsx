import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";

import { ApiError } from "../../api/errors";
import type { FindingProbability, Study } from "../../api/schema";
import type { Mark } from "../../domain/review";
import { trustOf } from "../../domain/trust";
import { blinded, type OpenFirstRead } from "../../state/useFirstRead";
import type { OpenReview } from "../../state/useReview";
import type { OpenWorklist } from "../../state/useWorklist";
import { INITIAL_VIEWER, shownOf, type ViewerState } from "../../state/viewer";
import { aStudy, aSystem, EFFUSION_BOX, SOON } from "../../test/studies";
import { ResultPanel } from "./ResultPanel";

interface Shown {
  readonly error?: ApiError;
  readonly isRerunning?: boolean;
  readonly allShown?: boolean;
  readonly worklist?: OpenWorklist;
  readonly review?: OpenReview;
  readonly first?: OpenFirstRead;
  readonly state?: ViewerState;
  readonly system?: ReturnType<typeof aSystem>;
}

const NOBODY: OpenReview = {
  ...{ revision: 1, marks: [], error: null, refused: [], allRefused: [], waiting: 0, say: null, undo: null },
  ...{ takeBack: vi.fn(), discard: vi.fn(), sayAgain: vi.fn(), announcement: "" },
};
const NOT_ASKED: OpenFirstRead = { isBlind: false, reads: null, isSending: false, error: null, give: vi.fn() };

/** What another reader said. */
function aMark(change: Partial<Mark>): Mark {
  return {
    id: "1",
    verdict: "accepted",
    target: null,
    label: null,
    corners: null,
    comment: "",
    by: "b.reader",
    mine: false,
    state: "kept",
    ...change,
  };
}

const UNKNOWN: OpenWorklist = { worklist: null, refusal: null, waiting: 0, set: null };

function show(
  study: Study,
  { error, isRerunning = false, allShown = false, worklist = UNKNOWN, system = aSystem(), review = NOBODY, first = NOT_ASKED, state = INITIAL_VIEWER }: Shown = {},
) {
  const heard = {
    ...{ onRerun: vi.fn(), dispatch: vi.fn(), onFocusBox: vi.fn(), onToggleAll: vi.fn() },
    onDone: vi.fn(),
  };
  const trust = trustOf(system, study);
  render(
    <ResultPanel
      study={study}
      error={error ?? null}
      isRerunning={isRerunning}
      mayExport
      viewers={system.viewer_links}
      worklist={worklist}
      review={review}
      first={first}
      readsFirst={false}
      mayReport
      person="somebody"
      trust={trust}
      state={state}
      shown={shownOf(INITIAL_VIEWER, study, trust.mapsAreEvidence)}
      allShown={allShown}
      {...heard}
    />,
  );
  return heard;
}

/** Of a model of the reader's own: a label that no code list knows. */
const CLIP: FindingProbability = {
  finding: "Metal_clip",
  probability: 0.83,
  level: "likely",
  possible_threshold: 0.2,
  likely_threshold: 0.6,
};

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

it("shows a label of a model's own like any other: named, with its level, map and box", async () => {
  const box = { ...EFFUSION_BOX, finding: CLIP.finding, classifier_probability: CLIP.probability };
  const { onFocusBox, dispatch } = show(
    aStudy({ top_findings: [CLIP], findings: [CLIP], boxes: [box], heatmaps: [CLIP.finding], triage: { ...SOON, cause: null } }),
  );
  const top = within(screen.getByRole("region", { name: "Most likely findings" }));
  const [row] = top.getAllByRole("listitem");
  expect(row?.getAttribute("data-finding")).toBe("Metal_clip");
  expect(row?.textContent).toMatch(/Metal clip.*83%/u);
  expect(row?.textContent).toContain("Likely");
  expect(
    top.getByRole("img", { name: "Metal clip: probability 83%, likely; possible from 20%, likely from 60%" }),
  ).toBeTruthy();
  // Of this label nothing was measured for the installation's system.
  expect(row?.textContent).not.toContain("Of 100 test images");
  expect(screen.queryByText(/Metal_clip/u)).toBeNull();
  await userEvent.click(top.getByRole("button", { name: "Where the network looked (not evidence): metal clip" }));
  expect(dispatch).toHaveBeenCalledWith({ type: "heatmapSet", finding: "Metal_clip" });
  await userEvent.click(screen.getByRole("button", { name: /^Show metal clip, score 66%/u }));
  expect(onFocusBox).toHaveBeenCalledWith(box);
});

it("says what was found, at which level, and what that was measured to mean", () => {
  show(aStudy());
  const top = within(screen.getByRole("region", { name: "Most likely findings" }));
  const rows = top.getAllByRole("listitem");
  expect(rows.map((row) => row.getAttribute("data-finding"))).toEqual(["Effusion", "Hernia", "Nodule"]);
  expect(rows[0]?.textContent).toContain("42%");
  expect(rows.map((row) => /Likely|Possible|Unlikely/u.exec(row.textContent)?.[0])).toEqual([
    "Likely",
    "Possible",
    "Unlikely",
  ]);
  expect(rows[0]?.textContent).toContain("Of 100 test images called likely, 43 showed it.");
  expect(
    top.getByRole("img", { name: "Hernia: probability <1%, possible; possible from 0.2%, likely from 2.0%" }),
  ).toBeTruthy();
  expect(top.getAllByRole("button").map((button) => button.getAttribute("aria-label"))).toEqual([
    "Where the network looked (not evidence): effusion",
    "Where the network looked (not evidence): hernia",
  ]);
  const priority = screen.getByRole("region", { name: "Priority" }).textContent;
  expect(priority).toContain("Soon");
  expect(priority).toContain("Of 100 test images called soon, 40 showed a finding");
});

it("the cause stands first, with what it was compared with, and leads to its region", async () => {
  const cause = { finding: "Nodule", region: "Nodule", value: 0.44, usual: 0.01, level: "unlikely", box: 0 } as const;
  const box = { ...EFFUSION_BOX, finding: "Nodule" as const };
  const { dispatch, onFocusBox } = show(aStudy({ triage: { ...SOON, cause }, boxes: [box] }));
  const [first] = within(screen.getByRole("region", { name: "Most likely findings" })).getAllByRole("listitem");
  expect(first?.getAttribute("data-finding")).toBe("Nodule");
  expect(first?.textContent).toContain(
    "Why soon: a region marked as nodule, detector's score 44%; half of all images have 1% or less.",
  );
  await userEvent.click(screen.getByRole("button", { name: "Show the region: nodule" }));
  expect(dispatch).toHaveBeenCalledWith({ type: "boxSelected", index: 0 });
  expect(onFocusBox).toHaveBeenCalledWith(box);
  expect(screen.getByRole("button", { name: /^Show nodule, score/ }).getAttribute("aria-pressed")).toBe("true");
});

it("a region that the classifier has no word for can be the cause, too", () => {
  const cause = { finding: null, region: "Fracture", value: 0.44, usual: null, level: null, box: 0 } as const;
  show(aStudy({ triage: { ...SOON, cause } }));
  const [first] = within(screen.getByRole("region", { name: "Most likely findings" })).getAllByRole("listitem");
  expect(first?.textContent).toContain("Why soon: a region marked as fracture, detector's score 44%.");
});

it("where levels decided, the cause is compared with the point that it reached", () => {
  const cause = { finding: "Effusion", region: null, value: 0.42, usual: null, level: "likely", box: null } as const;
  show(aStudy({ triage: { ...SOON, cause } }));
  expect(screen.getByText(/effusion 42%; likely from 30% on/u)).toBeTruthy();
});

it("does not claim what nobody measured", () => {
  const system = aSystem();
  const services = system.services.map((one) => ({ ...one, levels: "derived from thresholds" as const }));
  show(aStudy({ triage: { ...SOON, model: null } }), { system: { ...system, services, finding_levels: [] } });
  expect(screen.getByText("What this priority means was not measured for these models and budgets.")).toBeTruthy();
  expect(screen.getByText(/derived from the model's thresholds/u)).toBeTruthy();
  expect(screen.queryByText(/Of 100/u)).toBeNull();
});

it("says why nothing is known of a priority while an inference service is away", () => {
  const system = aSystem();
  const services = system.services.map((one) => ({ ...one, ready: false, model: null }));
  show(aStudy({ triage: SOON }), { system: { ...system, services, triage: { ...system.triage, model: null, measured: [] } } });
  expect(screen.getByText("What this priority means is known again once both inference services answer.")).toBeTruthy();
  expect(screen.queryByText(/was not measured/u)).toBeNull();
});

it("an imported model that nobody calibrated is said to be so above its findings", () => {
  show(aStudy({ calibrated: false, heatmaps: [] }));
  expect(screen.getByText("Not calibrated here")).toBeTruthy();
  expect(screen.queryAllByRole("button", { name: /^Where the network looked/u })).toEqual([]);
});

it("calibrated models are shown without a warning, and with their licence", () => {
  show(aStudy());
  expect(screen.queryByText("Not calibrated here")).toBeNull();
  expect(screen.getByText("AGPL-3.0-or-later")).toBeTruthy();
});

it("who opened it is said, and it can be done", async () => {
  const worklist = { state: "opened", by: "a.reader", at: "2026-11-03T14:10:00Z", to: null } as const;
  const { onDone } = show(aStudy(), { worklist: { worklist, refusal: null, waiting: 0, set: vi.fn() } });
  const bar = within(screen.getByRole("region", { name: "Worklist" }));
  expect(bar.getByRole("status").textContent).toContain("Opened by a.reader");
  await userEvent.click(bar.getByRole("button", { name: "Done" }));
  expect(onDone).toHaveBeenCalledOnce();
});

it("hands out the file without the patient", async () => {
  const study = aStudy();
  show(study);
  await userEvent.click(screen.getByText("Patient and file"));
  const link = screen.getByRole("link", { name: "file without the patient" });
  expect(link.getAttribute("href")).toBe(`/api/v1/studies/${study.id}/deidentified?pixels_reviewed=true`);
});

it("leads to other viewers by the study's own identifiers, and to none while one reads first", () => {
  const system = aSystem({
    viewer_links: [
      { name: "OHIF", url: "https://pacs.example/viewer?StudyInstanceUIDs={study_uid}" },
      { name: "RIS", url: "https://ris.example/{accession}" },
    ],
  });
  const study = aStudy({ patient: { ...aStudy().patient, study_instance_uid: "1.2.840.1" } });
  show(study, { system });
  const [link, ...others] = within(screen.getByRole("list", { name: "Open in another viewer" })).getAllByRole("link");
  expect(others).toEqual([]);
  expect(link?.textContent).toBe("Open in OHIF");
  expect(link?.getAttribute("href")).toBe("https://pacs.example/viewer?StudyInstanceUIDs=1.2.840.1");
  expect(link?.getAttribute("target")).toBe("_blank");
  expect(link?.getAttribute("rel")).toBe("noopener noreferrer");
  cleanup();
  show(aStudy(), { system });
  expect(screen.queryByRole("list", { name: "Open in another viewer" })).toBeNull();
  cleanup();
  show(study, { system, first: { ...NOT_ASKED, isBlind: true } });
  expect(screen.queryByRole("list", { name: "Open in another viewer" })).toBeNull();
});

it("says that the bars are not to a straight scale, and ends them where that scale does", () => {
  show(
    aStudy({
      ...{ findings: [], triage: { ...SOON, cause: null } },
      top_findings: [
        { ...{ finding: "Mass", probability: 0.64, level: "likely" }, possible_threshold: 0.09, likely_threshold: 0.25 },
      ],
    }),
  );
  const top = within(screen.getByRole("region", { name: "Most likely findings" }));
  expect(top.getByText(/square-root scale/)).toBeTruthy();
  const [fill, possible, likely] = top.getByRole("img").children;
  expect((fill as HTMLElement).style.width).toBe("80%");
  expect((possible as HTMLElement).style.left).toBe("30%");
  expect((likely as HTMLElement).style.left).toBe("50%");
});

it("goes to a box, hides a kind of box, and lays a heat map over the image", async () => {
  const { dispatch, onFocusBox } = show(aStudy());
  await userEvent.click(screen.getByRole("button", { name: /^Show effusion, score 66%/ }));
  expect(dispatch).toHaveBeenCalledWith({ type: "boxSelected", index: 0 });
  expect(onFocusBox).toHaveBeenCalledWith(EFFUSION_BOX);
  await userEvent.click(screen.getByRole("checkbox"));
  expect(dispatch).toHaveBeenCalledWith({ type: "findingToggled", finding: "Effusion" });
  await userEvent.click(screen.getByRole("button", { name: "Where the network looked (not evidence): effusion" }));
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
  const down = { kind: "unreachable", detail: "Down." } as const;
  const problems = [{ service: "classifier", ...down } as const, { service: "detector", ...down } as const];
  show(aStudy({ status: "failed", problems, top_findings: [], findings: [], boxes: [], triage: null }));
  expect(screen.getByText("Not analysed: both models are unavailable")).toBeTruthy();
  expect(screen.getByText("The image is kept and can be analysed again.")).toBeTruthy();
});

it("all findings can be put in another order", async () => {
  show(aStudy(), { allShown: true });
  const names = () =>
    screen.getAllByRole("rowheader").flatMap((cell) => cell.closest("tr")?.getAttribute("data-finding") ?? []);
  expect(names()).toEqual(["Effusion", "Hernia", "Nodule"]);
  await userEvent.selectOptions(screen.getByRole("combobox", { name: "Order" }), "probability");
  expect(names()).toEqual(["Effusion", "Nodule", "Hernia"]);
});

it("HTML in a name is text", () => {
  show(aStudy({ file_name: "<img src=x onerror=alert(1)>" }));
  expect(screen.getByRole("heading", { level: 2 }).textContent).toBe("<img src=x onerror=alert(1)>");
  expect(document.querySelector("img")).toBeNull();
});

it("says of each region how likely it is right, and what the detector and the classifier say", () => {
  const fracture = { ...EFFUSION_BOX, finding: "Fracture" as const, score: 0.31, detector_score: 0.35 };
  show(aStudy({ boxes: [EFFUSION_BOX, { ...fracture, classifier_probability: null }] }));
  const regions = within(screen.getByRole("region", { name: /^Suspicious regions/ }));
  expect(regions.getByText(/^How likely each region is right/)).toBeTruthy();
  const effusion = regions.getByRole("button", {
    name: "Show effusion, score 66%, detector 81%, classifier 42%",
  });
  expect(effusion.textContent).toBe("score 66%detector 81% · classifier 42%100 × 50 px");
  expect(
    regions.getByRole("button", {
      name: "Show fracture, score 31%, detector 35%, no classifier label",
    }).textContent,
  ).toContain("score 31%");
});

it("names what rescored the boxes of a study of an earlier version", () => {
  show(aStudy({ rescoring: { name: "lite0-nih14--yolov5n-both", sha256: "cd".repeat(32) } }));
  expect(screen.getByText("lite0-nih14--yolov5n-both")).toBeTruthy();
});

it("says that the detector's own score ranks the regions where it was not calibrated", () => {
  show(aStudy({ boxes: [{ ...EFFUSION_BOX, score: 0.81 }] }));
  const regions = within(screen.getByRole("region", { name: /^Suspicious regions/ }));
  expect(regions.getByText(/^By the detector's own score/)).toBeTruthy();
  const effusion = regions.getByRole("button", {
    name: "Show effusion, score 81%, classifier 42%",
  });
  expect(effusion.textContent).toContain("score 81%classifier 42%");
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

it("says what is out of the ordinary in the image, and nothing where nothing is", () => {
  const warning = "Black and white seem to be exchanged.";
  const plain = aStudy({});
  show(plain);
  expect(screen.queryByText("About the image's quality")).toBeNull();
  if (plain.quality === null) {
    throw new Error("a study of today has a quality");
  }
  show({ ...plain, quality: { ...plain.quality, warnings: [warning] } });
  screen.getByText("About the image's quality");
  screen.getByText(warning);
});

it("shows a study from before the quality was measured", () => {
  show(aStudy({ quality: null }));
  expect(screen.queryByText("About the image's quality")).toBeNull();
});

it("each answer can be accepted, rejected or changed, and others' words stand beside it", async () => {
  const say = vi.fn();
  const target = { kind: "finding", finding: "Effusion" } as const;
  const theirs = aMark({ verdict: "rejected", target, label: "Effusion" });
  const { dispatch } = show(aStudy(), { review: { ...NOBODY, say, marks: [theirs] } });
  const effusion = within(screen.getByRole("group", { name: "Review of effusion" }));
  expect(screen.getByRole("group", { name: "Review of effusion" }).textContent).toContain("Rejected by b.reader.");
  await userEvent.click(effusion.getByRole("button", { name: /^Accept/u }));
  expect(say).toHaveBeenLastCalledWith({ revision: 1, verdict: "accepted", target, comment: "" });
  // To agree with "unlikely" is to say that it is not there.
  const nodule = within(screen.getByRole("group", { name: "Review of nodule" }));
  await userEvent.click(nodule.getByRole("button", { name: /^Missed/u }));
  expect(say).toHaveBeenLastCalledWith(
    expect.objectContaining({ verdict: "rejected", target: { kind: "finding", finding: "Nodule" } }),
  );
  const region = within(screen.getByRole("group", { name: "Review of effusion region 1" }));
  await userEvent.click(region.getByRole("button", { name: /^Change/u }));
  const editing = { kind: "box", index: 0, region: "Effusion" };
  expect(dispatch).toHaveBeenLastCalledWith({ type: "editingSet", editing });
});

it("what was missed is added by the keyboard alone, and a box of no area is refused in place", async () => {
  const say = vi.fn();
  const corners = { x_min: 5, y_min: 5, x_max: 5, y_max: 9 };
  const state: ViewerState = { ...INITIAL_VIEWER, editing: { kind: "added" }, drawn: corners };
  const { dispatch } = show(aStudy(), { review: { ...NOBODY, say }, state });
  const form = within(screen.getByRole("form", { name: "What was missed" }));
  expect(document.activeElement).toBe(form.getByLabelText("Finding"));
  await userEvent.selectOptions(form.getByLabelText("Finding"), "Fracture");
  await userEvent.type(form.getByLabelText("Comment"), "sixth rib");
  await userEvent.click(form.getByRole("button", { name: "Keep" }));
  expect(screen.getByRole("alert").textContent).toContain("no area");
  expect(say).not.toHaveBeenCalled();
  await userEvent.type(form.getByLabelText("Right"), "7");
  expect(dispatch).toHaveBeenLastCalledWith({ type: "drawn", corners: { ...corners, x_max: 57 } });
});

it("what the gateway refused keeps its words, and can be said again or discarded", async () => {
  const sayAgain = vi.fn();
  const discard = vi.fn();
  const change = { revision: 1, verdict: "added", label: "Mass", comment: "left upper lobe" } as const;
  const refusal = { title: "Conflict", detail: "The study was analysed again." };
  const item = { studyId: aStudy().id, entryId: "e", change, refusal };
  show(aStudy(), { review: { ...NOBODY, say: vi.fn(), sayAgain, discard, refused: [item], waiting: 2 } });
  const alert = within(screen.getByRole("alert"));
  expect(screen.getByRole("alert").textContent).toContain("Not kept. Added: mass");
  expect(alert.getByText("left upper lobe")).toBeTruthy();
  await userEvent.click(alert.getByRole("button", { name: "Say it again" }));
  expect(sayAgain).toHaveBeenCalledWith(item);
  await userEvent.click(alert.getByRole("button", { name: "Discard" }));
  expect(discard).toHaveBeenCalledWith("e");
  expect(await screen.findByText(/^2 entries not sent yet/u, undefined, { timeout: 5000 })).toBeTruthy();
});

it("whoever may not review sees what others said, and no button", () => {
  const mark = aMark({ verdict: "added", label: "Fracture", comment: "sixth rib" });
  show(aStudy(), { review: { ...NOBODY, marks: [mark] } });
  const section = screen.getByRole("region", { name: /^Review/u });
  expect(section.textContent).toContain("Added: fracture by b.reader");
  expect(section.textContent).toContain("sixth rib");
  expect(within(section).queryAllByRole("button")).toEqual([]);
});

it("a report is drafted, written, kept through a lost connection, and signed", async () => {
  const draft = { examination: "Chest radiograph, PA.", comparison: "None.", findings: "Mass.", impression: "" };
  const asked: { method: string; body: unknown }[] = [];
  let isLost = true;
  const version = { version: 1, revision: 1, at: "2026-11-03T14:03:00Z", by: "me", name: "A. Reader", signed: true };
  vi.stubGlobal("fetch", (_url: string, init?: RequestInit) => {
    const body = typeof init?.body === "string" ? (JSON.parse(init.body) as { text: object }) : null;
    asked.push({ method: init?.method ?? "GET", body });
    if (body !== null && isLost) {
      return Promise.reject(new TypeError("no network"));
    }
    const versions = body === null ? [] : [{ ...version, text: body.text }];
    return Promise.resolve(Response.json({ study_id: aStudy().id, revision: 1, draft, versions }));
  });
  show(aStudy());
  await userEvent.click(screen.getByRole("button", { name: "Report" }));
  const form = within(await screen.findByRole("form", { name: "Report" }));
  expect(form.getByLabelText<HTMLTextAreaElement>("Findings").value).toBe("Mass.");
  expect(form.getByRole<HTMLButtonElement>("button", { name: "Sign" }).disabled).toBe(true);
  await userEvent.type(form.getByLabelText("Impression"), "A mass");
  await userEvent.click(form.getByRole("button", { name: "Sign" }));
  expect((await form.findByRole("alert")).textContent).toContain("Your text stays here.");
  expect(form.getByLabelText<HTMLTextAreaElement>("Impression").value).toBe("A mass");
  isLost = false;
  await userEvent.click(form.getByRole("button", { name: "Sign" }));
  expect(await form.findByText(/^Version 1, signed, by A. Reader/u)).toBeTruthy();
  expect(asked.at(-1)?.body).toEqual({ based_on: 0, revision: 1, sign: true, text: { ...draft, impression: "A mass" } });
  expect(form.getByRole("link", { name: "PDF" }).getAttribute("href")).toContain("/report.pdf?version=1");
  expect(Object.keys(window.localStorage).filter((key) => key.startsWith("cxr.report"))).toEqual([]);
  vi.unstubAllGlobals();
});

it("is assigned to a name, or to oneself", async () => {
  const set = vi.fn();
  const worklist = { state: "assigned", by: "a.reader", at: "2026-11-03T14:10:00Z", to: "Dr. Roe" } as const;
  show(aStudy(), { worklist: { worklist, refusal: null, waiting: 0, set } });
  expect(screen.getByRole("region", { name: "Worklist" }).textContent).toContain("Assigned to Dr. Roe");
  await userEvent.click(screen.getByRole("button", { name: "Assign…" }));
  await userEvent.type(screen.getByLabelText("To"), " Dr. Doe {enter}");
  expect(set).toHaveBeenCalledWith("assigned", "Dr. Doe");
  // The focus is where it was before the form.
  expect(document.activeElement).toBe(screen.getByRole("button", { name: "Assign…" }));
  await userEvent.click(screen.getByRole("button", { name: "Assign…" }));
  await userEvent.click(screen.getByRole("button", { name: "Assign" }));
  expect(set).toHaveBeenLastCalledWith("assigned", undefined);
});

it("where one reads first, nothing of the answers is there before one's own", async () => {
  const give = vi.fn();
  const reads = { study_id: "x", given: false, reads: [] };
  const study = blinded(aStudy());
  show(study, { first: { isBlind: true, reads, isSending: false, error: null, give } });
  expect(screen.queryByRole("region", { name: "Priority" })).toBeNull();
  expect(screen.queryByText(/%/u)).toBeNull();
  expect(screen.queryByText(/Review/u)).toBeNull();
  await userEvent.click(screen.getByLabelText("Effusion"));
  await userEvent.click(screen.getByLabelText("Pleural thickening"));
  await userEvent.click(screen.getByLabelText("Effusion"));
  await userEvent.type(screen.getByLabelText("Comment"), "apical");
  await userEvent.click(screen.getByRole("button", { name: "Keep this and show the answers" }));
  expect(give).toHaveBeenCalledWith(["Pleural_Thickening"], "apical");
});

it("a first opinion outlives a reload, and one that is too long is refused in place, not cut", async () => {
  const give = vi.fn();
  const reads = { study_id: "x", given: false, reads: [] };
  const first = { isBlind: true, reads, isSending: false, error: null, give };
  const study = blinded(aStudy({ id: "too-long" }));
  show(study, { first });
  await userEvent.click(screen.getByLabelText("Mass"));
  const comment = screen.getByLabelText("Comment");
  fireEvent.change(comment, { target: { value: "x".repeat(4001) } });
  await userEvent.click(screen.getByRole("button", { name: "Keep this and show the answers" }));
  expect(screen.getByRole("alert").textContent).toBe("The comment has 4001 characters; at most 4000 are kept.");
  expect(give).not.toHaveBeenCalled();
  cleanup();
  show(study, { first });
  expect(screen.getByLabelText<HTMLInputElement>("Mass").checked).toBe(true);
  expect(screen.getByLabelText<HTMLTextAreaElement>("Comment").value).toHaveLength(4001);
});

it("first opinions stand beside the answers", () => {
  const read = { revision: 1, at: "2026-11-03T14:10:00Z", shown: [], comment: "" };
  const reads = {
    study_id: "x",
    given: true,
    reads: [
      { ...read, by: "b.reader", mine: false, findings: ["Mass" as const], comment: "left hilum" },
      { ...read, by: "me", mine: true, findings: [] },
    ],
  };
  show(aStudy(), { first: { isBlind: false, reads, isSending: false, error: null, give: vi.fn() } });
  const section = screen.getByRole("region", { name: "First opinions" });
  expect(section.textContent).toContain("Mass by b.reader");
  expect(section.textContent).toContain("left hilum");
  expect(section.textContent).toContain("None of the findings by you");
});
