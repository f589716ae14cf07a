/** What the drift page draws, as numbers. */

import type { DriftFlag, DriftReport, DriftStatistic, WeekOfStatistic } from "../api/schema";
import { displayName } from "./format";
import { t } from "../i18n/t";

/** A bar of this PSI, and of whatever lies above it, has the chart's whole height. */
export const HIGHEST_PSI = 0.5;

const FLAG_NAMES: Record<DriftFlag, string> = {
  drifted: t("Drifted"),
  watch: t("To be watched"),
  stable: t("Stable"),
  "too-few": t("Too few images"),
};

export function flagName(flag: DriftFlag): string {
  return FLAG_NAMES[flag];
}

/** A distribution is named for its finding or its quantity; the abbreviation is spelled out. */
export function statisticName(name: string): string {
  return name === "ood_score" ? t("Out-of-distribution score") : displayName(name);
}

/** Three decimals, so that what is below a limit is not rounded up to it. */
export function psiText(psi: number | null): string {
  return psi === null ? "–" : psi.toFixed(3);
}

export function shareText(share: number): string {
  return `${(share * 100).toFixed(1)}%`;
}

/** How high a PSI stands in its chart, 0..1. */
export function psiPosition(psi: number | null): number {
  return psi === null ? 0 : Math.min(psi / HIGHEST_PSI, 1);
}

export function weekOf(statistic: DriftStatistic, week: string | null): WeekOfStatistic | null {
  return statistic.weeks.find((one) => one.week === week) ?? null;
}

/** The week that is shown first: the one that is compared, or the current one. */
export function firstShown(report: DriftReport): string | null {
  return report.compared_week ?? report.weeks.at(-1)?.week ?? null;
}

const RANKS: readonly DriftFlag[] = ["drifted", "watch", "stable", "too-few"];

/** Drifted first, by the week that is looked at; equal ones stay in the gateway's order. */
export function ordered(report: DriftReport, week: string | null): DriftStatistic[] {
  const rank = (one: DriftStatistic): number => RANKS.indexOf(weekOf(one, week)?.flag ?? "too-few");
  const psi = (one: DriftStatistic): number => weekOf(one, week)?.psi ?? 0;
  return [...report.statistics].sort((a, b) => rank(a) - rank(b) || psi(b) - psi(a));
}

/** Where a person cannot see the charts, these say the same. */
export function weeksSentence({ name, weeks }: DriftStatistic): string {
  const compared = weeks.filter(({ psi }) => psi !== null);
  if (compared.length === 0) {
    return t("{0}: no week has enough images", statisticName(name));
  }
  const values = compared.map(({ week, psi }) => `${week} ${psiText(psi)}`).join(", ");
  return t("{0}, PSI by week: {1}", statisticName(name), values);
}

export function binsSentence({ name, bins }: DriftStatistic, shown: WeekOfStatistic | null): string {
  const shares = shown?.shares ?? null;
  const parts = bins.map(({ label, share }, index) => {
    const now = shares?.[index];
    const week = now === undefined ? "" : t(", week {0}", shareText(now));
    return t("{0}: reference {1}{2}", label, shareText(share), week);
  });
  return `${statisticName(name)}. ${parts.join("; ")}`;
}
