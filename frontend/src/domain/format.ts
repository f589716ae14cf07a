/** Numbers, times and names as a person reads them. */

import { currentLanguage, t } from "../i18n/t";

const LOCALE = currentLanguage() === "en" ? "en-GB" : currentLanguage();

const dayFormat = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short" });
const dayYearFormat = new Intl.DateTimeFormat(LOCALE, {
  day: "numeric",
  month: "short",
  year: "numeric",
});
const timeFormat = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit" });
const fullFormat = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "medium" });

/** `Pleural_Thickening` is shown as "Pleural thickening". */
export function displayName(finding: string): string {
  const words = finding.replaceAll("_", " ").toLowerCase();
  return t(words.charAt(0).toUpperCase() + words.slice(1));
}

/** A probability in whole per cent; what is not nothing is never shown as 0%. */
export function percent(probability: number): string {
  if (probability > 0 && probability < 0.005) {
    return "<1%";
  }
  if (probability < 1 && probability >= 0.995) {
    return ">99%";
  }
  return `${Math.round(probability * 100)}%`;
}

/** An operating point: one decimal below 10%, where rounding would hide which side is which. */
export function thresholdPercent(threshold: number): string {
  return threshold < 0.1 ? `${(threshold * 100).toFixed(1)}%` : percent(threshold);
}

/** A sentence of the gateway with its probabilities as percentages; every digit stays that tells two apart. */
export function inPercent(sentence: string): string {
  return sentence.replaceAll(
    /(?<![\d.])([01])\.(\d{2})(\d+)(?!\d|\.\d)/gu,
    (_, whole: string, hundredths: string, rest: string) => `${Number(whole + hundredths)}.${rest}%`,
  );
}

/** A share as a count of a hundred, for "of 100 images ..."; what is not nothing is never 0. */
export function outOfHundred(share: number): string {
  return share > 0 && share < 0.005 ? t("fewer than 1") : String(Math.round(share * 100));
}

export function bytes(n: number): string {
  if (n < 1000) {
    return count(n, "byte");
  }
  const units = ["kB", "MB", "GB"];
  let value = n / 1000;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = value >= 10 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit] ?? ""}`;
}

export function milliseconds(ms: number): string {
  if (ms >= 1000) {
    return `${(ms / 1000).toFixed(2)} s`;
  }
  return t("{0} ms", ms < 10 ? ms.toFixed(1) : Math.round(ms));
}

/** "14:03" today, "3 Nov 14:03" this year, "3 Nov 2024 14:03" before. */
export function shortTime(iso: string, now: Date): string {
  const then = new Date(iso);
  const time = timeFormat.format(then);
  if (then.toDateString() === now.toDateString()) {
    return time;
  }
  const day = then.getFullYear() === now.getFullYear() ? dayFormat : dayYearFormat;
  return `${day.format(then)} ${time}`;
}

export function fullTime(iso: string): string {
  return fullFormat.format(new Date(iso));
}

/** A calendar date of a DICOM header, YYYY-MM-DD, without any time zone. */
export function calendarDate(date: string): string {
  const then = new Date(`${date}T12:00:00`);
  return Number.isNaN(then.getTime()) ? date : dayYearFormat.format(then);
}

export function count(n: number, singular: string, plural = `${singular}s`): string {
  const what = t(n === 1 ? singular : plural);
  // Where a language counts with a word that belongs to the number, its text begins with it.
  return what.startsWith("개") ? `${n}${what}` : `${n} ${what}`;
}
