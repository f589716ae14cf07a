import { useCallback, useEffect, useState } from "react";

import { getReport, writeReport } from "../api/client";
import { type ApiError, asApiError } from "../api/errors";
import type { Report, ReportText } from "../api/schema";

export interface OpenReport {
  readonly report: Report | null;
  /** What stands in the form: this person's own text, or else the last version, or the draft. */
  readonly text: ReportText | null;
  /** Whether the form holds what no version has. */
  readonly isChanged: boolean;
  readonly isSending: boolean;
  readonly error: ApiError | null;
  readonly write: (text: ReportText) => void;
  /** Draft it anew from levels and corrections, beside an earlier study where one is shown. */
  readonly draft: () => void;
  readonly save: (sign: boolean) => void;
}

interface Heard {
  readonly id: string;
  readonly report: Report;
}

/**
 * The report of a study; what is written is kept in this browser until the gateway has it.
 *
 * `studyId` null asks for nothing, as while the form is closed.
 */
export function useReport(studyId: string | null, priorId: string | null, person: string): OpenReport {
  const [heard, setHeard] = useState<Heard | null>(null);
  const [written, setWritten] = useState<Readonly<Record<string, ReportText>>>({});
  const [error, setError] = useState<ApiError | null>(null);
  const [isSending, setSending] = useState(false);

  const load = useCallback((id: string, prior: string | null, signal?: AbortSignal): Promise<Report | null> => {
    return getReport(id, prior, signal).then(
      (report) => {
        setHeard({ id, report });
        setError(null);
        return report;
      },
      (reason: unknown) => {
        if (!signal?.aborted) {
          setError(asApiError(reason));
        }
        return null;
      },
    );
  }, []);

  useEffect(() => {
    if (studyId === null) {
      return undefined;
    }
    const controller = new AbortController();
    void load(studyId, null, controller.signal);
    return () => controller.abort();
  }, [studyId, load]);

  const report = heard !== null && heard.id === studyId ? heard.report : null;
  const own = studyId === null ? null : (written[studyId] ?? readText(person, studyId));
  const text = own ?? report?.versions.at(-1)?.text ?? report?.draft ?? null;
  const keep = (id: string, next: ReportText | null): void => {
    storeText(person, id, next);
    setWritten((before) => {
      const others = Object.fromEntries(Object.entries(before).filter(([other]) => other !== id));
      return next === null ? others : { ...others, [id]: next };
    });
  };
  const save = (sign: boolean): void => {
    if (studyId === null || report === null || text === null) {
      return;
    }
    setSending(true);
    const based_on = report.versions.at(-1)?.version ?? 0;
    writeReport(studyId, { based_on, revision: report.revision, text, sign })
      .then(
        (answer) => {
          setHeard({ id: studyId, report: answer });
          setError(null);
          keep(studyId, null);
        },
        (reason: unknown) => {
          const failure = asApiError(reason);
          keep(studyId, text);
          setError(failure);
          // Somebody else wrote, or it was analysed again: what there is now is shown beside the text.
          return failure.status === 409 ? load(studyId, null).then(() => setError(failure)) : undefined;
        },
      )
      .finally(() => setSending(false));
  };
  return {
    report,
    text,
    isChanged: own !== null,
    isSending,
    error,
    write: (next) => {
      if (studyId !== null) {
        keep(studyId, next);
      }
    },
    draft: () => {
      if (studyId !== null) {
        void load(studyId, priorId).then((answer) => {
          if (answer !== null) {
            keep(studyId, answer.draft);
          }
        });
      }
    },
    save,
  };
}

function keyOf(person: string, id: string): string {
  return `cxr.report ${id} ${person}`;
}

function readText(person: string, id: string): ReportText | null {
  try {
    const stored = window.localStorage.getItem(keyOf(person, id));
    return stored === null ? null : (JSON.parse(stored) as ReportText);
  } catch {
    return null;
  }
}

function storeText(person: string, id: string, text: ReportText | null): void {
  try {
    if (text === null) {
      window.localStorage.removeItem(keyOf(person, id));
    } else {
      window.localStorage.setItem(keyOf(person, id), JSON.stringify(text));
    }
  } catch {
    // Without storage it is kept while the page is open.
  }
}
