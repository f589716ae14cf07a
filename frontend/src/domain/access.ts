import type { Me } from "../api/schema";

/** What the page offers; the gateway decides anyway. */
export interface May {
  readonly see: boolean;
  readonly upload: boolean;
  readonly rerun: boolean;
  readonly work: boolean;
  readonly review: boolean;
  readonly report: boolean;
  readonly export: boolean;
  /** Whether a first opinion is asked for before the answers are shown. */
  readonly readFirst: boolean;
  /** Whether the gateway tells of changes as they happen. */
  readonly follow: boolean;
  readonly seeDrift: boolean;
  readonly seeAgreement: boolean;
}

export function mayOf({ may, reads_first }: Me): May {
  return {
    see: may.includes("listStudies"),
    upload: may.includes("createStudy"),
    rerun: may.includes("rerunStudy"),
    work: may.includes("setWorklist"),
    review: may.includes("putReviewEntry"),
    report: may.includes("writeReport"),
    export: may.includes("getStudyDeidentified"),
    readFirst: reads_first && may.includes("putFirstRead"),
    follow: may.includes("streamEvents"),
    seeDrift: may.includes("getDrift"),
    seeAgreement: may.includes("getAgreement"),
  };
}

/** Under which this browser remembers that a person accepted the notice: each accepts it alone. */
export function noticeKey({ kind, name, department }: Me): string {
  return `cxr.notice-accepted ${JSON.stringify([kind, name, department])}`;
}

/** Two answers are the same person in the same place, or the page begins anew. */
export function identityOf({ kind, name, department, roles }: Me): string {
  return JSON.stringify([kind, name, department, roles]);
}
