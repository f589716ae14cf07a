import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";

import type { AgreementReport, AgreementShare } from "../../api/schema";
import { AgreementPage } from "./AgreementPage";

const fetched = vi.fn<typeof fetch>();

function aShare(name: string, accepted: number, rejected: number): AgreementShare {
  const judged = accepted + rejected;
  const share = judged === 0 ? null : accepted / judged;
  return { name, judged, accepted, rejected, modified: 0, added: 0, share, low: 0.2, high: 0.6 };
}

const REPORT: AgreementReport = {
  summary: "Readers agreed with 4 of 10 answers that they judged.",
  rules: { min_judged: 20, confidence: 0.95 },
  overall: aShare("all", 4, 6),
  by_finding: [aShare("Pleural_Thickening", 4, 6)],
  by_reader: [aShare("a.reader", 4, 6)],
  by_month: [aShare("2025-12", 0, 0), aShare("2026-01", 1, 0), aShare("2026-02", 0, 0), aShare("2026-03", 4, 6)],
  by_model: [aShare("classifier lite 3", 4, 6)],
  first_reads: [
    { finding: "Mass", read: 40, both: 10, reader_only: 3, model_only: 5, neither: 22, share: 0.8, low: 0.65, high: 0.9 },
  ],
  reports: [
    { finding: "Mass", reports: 50, both: 12, report_only: 4, model_only: 6, neither: 28, share: 0.8, low: 0.67, high: 0.89 },
  ],
  changes: [
    { name: "Mass", month: "2026-03", judged: 30, share: 0.4, share_before: 0.9, change: -0.5, low: -0.7, high: -0.2 },
  ],
};

beforeEach(() => {
  fetched.mockReset();
  fetched.mockImplementation(() => Promise.resolve(Response.json(REPORT)));
  vi.stubGlobal("fetch", fetched);
});

it("has the shares with their intervals, and says what has fallen", async () => {
  render(<AgreementPage />);
  expect(await screen.findByText(REPORT.summary)).toBeTruthy();
  expect(screen.getByText("Agreement on mass has fallen")).toBeTruthy();
  const finding = within(screen.getByRole("table", { name: "By finding" })).getByRole("row", { name: /^Pleural/u });
  expect(finding.textContent).toBe("Pleural thickening40%20% to 60%10600");
  const months = within(screen.getByRole("table", { name: "By month" })).getAllByRole("rowheader");
  expect(months.map(({ textContent }) => textContent)).toEqual(["2026-01", "2026-02", "2026-03"]);
  expect(screen.getByRole("row", { name: /^2026-02/u }).textContent).toContain("––0");
  const first = within(screen.getByRole("table", { name: /^First opinions/u })).getByRole("row", { name: /^Mass/u });
  expect(first.textContent).toBe("Mass80%65% to 90%401035");
  const signed = within(screen.getByRole("table", { name: "Signed reports" })).getByRole("row", { name: /^Mass/u });
  expect(signed.textContent).toBe("Mass80%67% to 89%501246");
});

it("counts other months when asked to", async () => {
  render(<AgreementPage />);
  await screen.findByText(REPORT.summary);
  await userEvent.selectOptions(screen.getByLabelText("Months"), "3");
  expect(fetched.mock.calls.at(-1)?.[0]).toContain("months=3");
});

it("says that the gateway does not answer, and asks again", async () => {
  fetched.mockRejectedValueOnce(new TypeError("no network"));
  render(<AgreementPage />);
  expect(await screen.findByRole("alert")).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByText(REPORT.summary)).toBeTruthy();
});
