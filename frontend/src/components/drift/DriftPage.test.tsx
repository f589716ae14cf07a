import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";

import type { DriftReport } from "../../api/schema";
import { aReport, aStatistic } from "../../test/drift";
import { DriftPage } from "./DriftPage";

const fetched = vi.fn<typeof fetch>();
const REPORT = aReport([
  aStatistic({ name: "Mass", psis: [0.4, 0.02] }),
  aStatistic({ name: "mean_grey", psis: [0.15, 0.3] }),
  aStatistic({ name: "Edema", psis: [0.01, null] }),
]);

function answers(report: DriftReport): void {
  fetched.mockImplementation(() => Promise.resolve(Response.json(report)));
}

function order(): (string | null)[] {
  const rows = within(screen.getByRole("list", { name: "Distributions" })).getAllByRole("listitem");
  return rows.map((row) => within(row).getByRole("heading").textContent);
}

beforeEach(() => {
  fetched.mockReset();
  vi.stubGlobal("fetch", fetched);
});

it("says what has drifted, with the drifted first and a word for each flag", async () => {
  answers(REPORT);
  render(<DriftPage />);
  expect(await screen.findByText(REPORT.summary)).toBeTruthy();
  expect(order()).toEqual(["Mass", "Mean grey", "Edema"]);
  const [mass, grey, edema] = screen.getAllByRole("listitem");
  expect(mass?.textContent).toContain("Drifted");
  expect(grey?.textContent).toContain("To be watched");
  expect(edema?.textContent).toContain("Stable");
});

it("shows another week when asked to, in the order of that week", async () => {
  answers(REPORT);
  render(<DriftPage />);
  await userEvent.selectOptions(await screen.findByLabelText("Week"), "2026-W47");
  expect(order()).toEqual(["Mean grey", "Mass", "Edema"]);
});

it("has the numbers of the charts as tables", async () => {
  answers(REPORT);
  render(<DriftPage />);
  const numbers = await screen.findByText("of Mass");
  await userEvent.click(numbers);
  const [weeks, bins] = screen.getAllByRole("table");
  expect(weeks?.textContent).toContain("2026-W463000.400Drifted");
  expect(bins?.textContent).toContain("below 0.550.0%20.0%");
  expect(screen.getByRole("img", { name: /^Mass, PSI by week: 2026-W46 0.40/ })).toBeTruthy();
});

it("says why there is nothing to compare with", async () => {
  const summary = "There is no reference for these models.";
  answers({ ...REPORT, summary, compared_week: null, reference: null, statistics: [] });
  render(<DriftPage />);
  expect(await screen.findByText(summary)).toBeTruthy();
  expect(screen.queryByRole("list")).toBeNull();
});

it("says that the gateway does not answer, and asks again", async () => {
  fetched.mockRejectedValueOnce(new TypeError("no network"));
  render(<DriftPage />);
  expect(await screen.findByRole("alert")).toBeTruthy();
  answers(REPORT);
  await userEvent.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByText(REPORT.summary)).toBeTruthy();
});
