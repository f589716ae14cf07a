import { useState } from "react";

import { PRIORITY_NAMES, STATUS_NAMES, studyTitle } from "../domain/studies";
import { t } from "../i18n/t";
import type { Session } from "./useSession";

type Known = Pick<Session, "open" | "list" | "first">;

/**
 * Which study stands on the page now, for those who hear it.
 *
 * Said once, when it is opened or its answers are shown: its place changes as others arrive, and
 * that is nobody's news.
 */
export function useOpenedText(known: Known): string {
  const { open, first } = known;
  const key = open.study === null ? null : `${open.study.id} ${first.isBlind}`;
  const [said, setSaid] = useState<{ readonly key: string | null; readonly text: string }>({ key: null, text: "" });
  if (said.key !== key) {
    setSaid({ key, text: textOf(known) });
  }
  return said.text;
}

function textOf({ open: { study }, list, first }: Known): string {
  if (study === null) {
    return "";
  }
  const index = list.studies.findIndex(({ id }) => id === study.id);
  const place = index === -1 ? null : t("{0} of {1}", index + 1, list.total);
  const { triage, status } = study;
  const state = first.isBlind ? t("Read first") : triage === null ? STATUS_NAMES[status] : PRIORITY_NAMES[triage.priority];
  return [studyTitle(study), state, place].filter((part) => part !== null).join(", ");
}
