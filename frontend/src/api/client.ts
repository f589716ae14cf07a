import { ApiError, connectionLost, problemOf, timedOut } from "./errors";
import type {
  AgreementReport,
  DriftReport,
  FirstReadChange,
  FirstReads,
  Me,
  Report,
  ReportChange,
  Review,
  ReviewChange,
  SignedOut,
  StoredGreys,
  Study,
  StudyPage,
  SystemStatus,
  Worklist,
  WorklistState,
} from "./schema";
import { told } from "./signedOut";
import {
  agreementUrl,
  driftUrl,
  EXAMPLES_URL,
  exampleUrl,
  firstReadUrl,
  greysUrl,
  ME_URL,
  pixelsUrl,
  reportUrl,
  rerunUrl,
  reviewEntryUrl,
  reviewUrl,
  SIGN_OUT_URL,
  studiesUrl,
  studyUrl,
  SYSTEM_URL,
  worklistUrl,
  type StudyQuery,
} from "./urls";

const QUERY_TIMEOUT_S = 15;
/** Some megabytes. */
const PIXELS_TIMEOUT_S = 60;
/** Longer than the gateway waits for its services, so that its own response comes first. */
export const ANALYSIS_TIMEOUT_S = 90;

export function getStudy(id: string, signal?: AbortSignal): Promise<Study> {
  return request<Study>(studyUrl(id), { signal });
}

export function listStudies(query: StudyQuery, signal?: AbortSignal): Promise<StudyPage> {
  return request<StudyPage>(studiesUrl(query), { signal });
}

export function getSystem(signal?: AbortSignal): Promise<SystemStatus> {
  return request<SystemStatus>(SYSTEM_URL, { signal });
}

export function getDrift(weeks: number, signal?: AbortSignal): Promise<DriftReport> {
  return request<DriftReport>(driftUrl(weeks), { signal });
}

export function rerunStudy(id: string): Promise<Study> {
  return request<Study>(rerunUrl(id), { method: "POST", timeoutS: ANALYSIS_TIMEOUT_S });
}

export function getWorklist(id: string, signal?: AbortSignal): Promise<Worklist> {
  return request<Worklist>(worklistUrl(id), { signal });
}

/** `to`: of what is assigned; null for oneself. */
export function setWorklist(id: string, state: WorklistState, to: string | null = null): Promise<Worklist> {
  return request<Worklist>(worklistUrl(id), { method: "PUT", body: to === null ? { state } : { state, to } });
}

export function getReview(id: string, signal?: AbortSignal): Promise<Review> {
  return request<Review>(reviewUrl(id), { signal });
}

export function putReviewEntry(id: string, entryId: string, change: ReviewChange): Promise<Review> {
  return request<Review>(reviewEntryUrl(id, entryId), { method: "PUT", body: change });
}

export function withdrawReviewEntry(id: string, entryId: string): Promise<Review> {
  return request<Review>(reviewEntryUrl(id, entryId), { method: "DELETE" });
}

export function getGreys(id: string, signal?: AbortSignal): Promise<StoredGreys> {
  return request<StoredGreys>(greysUrl(id), { signal });
}

/** The file's own greys, a PNG of 16 bits. */
export async function getPixels(id: string, signal?: AbortSignal): Promise<ArrayBuffer> {
  const options = { accept: "image/png", timeoutS: PIXELS_TIMEOUT_S, signal };
  const { response, body } = await fetched(pixelsUrl(id), options, (answer) => answer.arrayBuffer());
  if (!response.ok) {
    throw failureOf(response.status, new TextDecoder().decode(body));
  }
  return body;
}

export function getFirstReads(id: string, signal?: AbortSignal): Promise<FirstReads> {
  return request<FirstReads>(firstReadUrl(id), { signal });
}

export function putFirstRead(id: string, change: FirstReadChange): Promise<FirstReads> {
  return request<FirstReads>(firstReadUrl(id), { method: "PUT", body: change });
}

export function getReport(id: string, prior: string | null, signal?: AbortSignal): Promise<Report> {
  return request<Report>(reportUrl(id, prior), { signal });
}

export function writeReport(id: string, change: ReportChange): Promise<Report> {
  return request<Report>(reportUrl(id, null), { method: "POST", body: change });
}

export function getAgreement(months: number, signal?: AbortSignal): Promise<AgreementReport> {
  return request<AgreementReport>(agreementUrl(months), { signal });
}

/** Who asks; its refusal is the answer, so nobody else is told of it. */
export function getMe(signal?: AbortSignal): Promise<Me> {
  return request<Me>(ME_URL, { signal, quiet: true });
}

/** Ends the session; the answer is where the browser goes next. */
export function signOut(): Promise<SignedOut> {
  return request<SignedOut>(SIGN_OUT_URL, { method: "POST" });
}

/** What lies beside the page as examples; the page's own build writes it, not the gateway. */
export function getExamples(signal?: AbortSignal): Promise<unknown> {
  return request<unknown>(EXAMPLES_URL, { signal });
}

/** One of the examples, as if it had been chosen from a disk. */
export async function getExampleFile(file: string): Promise<File> {
  const options = { accept: "image/png" };
  const { response, body } = await fetched(exampleUrl(file), options, (answer) => answer.blob());
  if (!response.ok) {
    throw failureOf(response.status, await body.text());
  }
  return new File([body], file, { type: "image/png" });
}

interface Options {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  /** Sent as JSON. */
  readonly body?: object;
  readonly accept?: string;
  readonly timeoutS?: number;
  readonly signal?: AbortSignal | undefined;
  readonly quiet?: boolean;
}

async function request<Answer>(url: string, options: Options): Promise<Answer> {
  const { response, body } = await fetched(url, options, (answer) => answer.text());
  if (!response.ok) {
    const failure = failureOf(response.status, body);
    throw options.quiet === true ? failure : told(failure);
  }
  return JSON.parse(body) as Answer;
}

/** Aborting through `signal` rejects with the signal's reason; all else is an ApiError. */
async function fetched<Body>(
  url: string,
  options: Options,
  read: (response: Response) => Promise<Body>,
): Promise<{ response: Response; body: Body }> {
  const { method = "GET", accept = "application/json", timeoutS = QUERY_TIMEOUT_S, signal } = options;
  const json = options.body === undefined ? undefined : JSON.stringify(options.body);
  const limit = AbortSignal.timeout(timeoutS * 1000);
  try {
    const response = await fetch(url, {
      method,
      headers: { Accept: accept, ...(json !== undefined && { "Content-Type": "application/json" }) },
      ...(json !== undefined && { body: json }),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    return { response, body: await read(response) };
  } catch (error) {
    if (signal?.aborted) {
      throw error;
    }
    throw limit.aborted ? timedOut(timeoutS) : connectionLost();
  }
}

/** A 502 or 504 without a problem body comes from a proxy: the gateway itself is not there. */
function failureOf(status: number, body: string): ApiError {
  const problem = problemOf(status, body);
  const fromProxy = (status === 502 || status === 504) && !body.trimStart().startsWith("{");
  return fromProxy ? connectionLost() : problem;
}
