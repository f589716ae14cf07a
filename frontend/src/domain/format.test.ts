import { expect, it } from "vitest";

import { bytes, calendarDate, count, displayName, inPercent, milliseconds, percent, shortTime, thresholdPercent } from "./format";

it.each([
  [0, "0%"],
  [0.0001, "<1%"],
  [0.042, "4%"],
  [0.9951, ">99%"],
  [1, "100%"],
])("a probability of %d is shown as %s", (probability, text) => {
  expect(percent(probability)).toBe(text);
});

it("a low operating point keeps a decimal", () => {
  expect(thresholdPercent(0.049)).toBe("4.9%");
  expect(thresholdPercent(0.25)).toBe("25%");
});

it.each([
  [1, "1 byte"],
  [999, "999 bytes"],
  [4_200, "4.2 kB"],
  [50_000_000, "50 MB"],
  [7e12, "7000 GB"],
])("%d bytes are %s", (n, text) => {
  expect(bytes(n)).toBe(text);
});

it("names, times and numbers read as a person writes them", () => {
  expect(displayName("Pleural_Thickening")).toBe("Pleural thickening");
  expect(milliseconds(3.14)).toBe("3.1 ms");
  expect(milliseconds(95.4)).toBe("95 ms");
  expect(milliseconds(1204)).toBe("1.20 s");
  expect(count(1, "study", "studies")).toBe("1 study");
  expect(count(0, "study", "studies")).toBe("0 studies");
  expect(calendarDate("2004-08-26")).toBe("26 Aug 2004");
  expect(calendarDate("not a date")).toBe("not a date");
});

it("a time of another day carries its day, of another year its year", () => {
  const now = new Date(2026, 10, 23, 12);
  expect(shortTime(new Date(2026, 10, 23, 9, 5).toISOString(), now)).toBe("09:05");
  expect(shortTime(new Date(2026, 10, 3, 9, 5).toISOString(), now)).toBe("3 Nov 09:05");
  expect(shortTime(new Date(2024, 10, 3, 9, 5).toISOString(), now)).toBe("3 Nov 2024 09:05");
});

it("a reason is told on the page's one scale, and no digit is lost that tells two numbers apart", () => {
  expect(inPercent("Edema is likely: its probability of 0.512 reaches 0.400.")).toBe(
    "Edema is likely: its probability of 51.2% reaches 40.0%.",
  );
  expect(inPercent("It is 0.07341 (urgent from 0.07340).")).toBe("It is 7.341% (urgent from 7.340%).");
  expect(inPercent("A score of 1.000, of model 1.2.345 and 12.345 px.")).toBe("A score of 100.0%, of model 1.2.345 and 12.345 px.");
});
