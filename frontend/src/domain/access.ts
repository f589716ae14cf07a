import type { Me } from "../api/schema";

/** What the page offers; the gateway decides anyway. */
export interface May {
  readonly see: boolean;
  readonly upload: boolean;
  readonly rerun: boolean;
  readonly export: boolean;
  readonly seeDrift: boolean;
}

export function mayOf({ may }: Me): May {
  return {
    see: may.includes("listStudies"),
    upload: may.includes("createStudy"),
    rerun: may.includes("rerunStudy"),
    export: may.includes("getStudyDeidentified"),
    seeDrift: may.includes("getDrift"),
  };
}

/** Two answers are the same person in the same place, or the page begins anew. */
export function identityOf({ kind, name, department, roles }: Me): string {
  return JSON.stringify([kind, name, department, roles]);
}
