import { afterEach, describe, expect, it, vi } from "vitest";

import { getStudy, rerunStudy } from "./client";
import { ApiError, asApiError, problemOf } from "./errors";
import { heatmapUrl, studiesUrl, studyUrl } from "./urls";

/** What the gateway would answer to each request, by its address. */
function answering(answer: (url: string, init?: RequestInit) => Response | Error): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", (url: string, init?: RequestInit) => {
    asked.push(`${init?.method ?? "GET"} ${url}`);
    const given = answer(url, init);
    return given instanceof Error ? Promise.reject(given) : Promise.resolve(given);
  });
  return asked;
}

async function failureOf(request: Promise<unknown>): Promise<ApiError> {
  try {
    await request;
  } catch (error) {
    return asApiError(error);
  }
  throw new Error("the request was to fail");
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("addresses", () => {
  it("escape what they are given", () => {
    expect(studyUrl("../system")).toBe("/api/v1/studies/..%2Fsystem");
    expect(heatmapUrl("a", "Pleural_Thickening")).toBe("/api/v1/studies/a/heatmaps/Pleural_Thickening.png");
  });

  it("carry the filter and the place in the list", () => {
    const query = { priorities: ["urgent", "soon"], statuses: ["partial"], limit: 50, cursor: "a b" } as const;
    expect(studiesUrl(query)).toBe(
      "/api/v1/studies?priority=urgent&priority=soon&status=partial&limit=50&cursor=a+b",
    );
    expect(studiesUrl({ ...query, worklist: ["new"], text: "roe & co", patientId: null })).toBe(
      "/api/v1/studies?priority=urgent&priority=soon&status=partial&worklist=new&q=roe+%26+co&limit=50&cursor=a+b",
    );
  });
});

describe("a request", () => {
  it("answers with what the gateway says", async () => {
    const asked = answering(() => Response.json({ id: "a" }));
    expect(await rerunStudy("a")).toEqual({ id: "a" });
    expect(asked).toEqual(["POST /api/v1/studies/a/rerun"]);
  });

  it("tells the sentences of a problem body", async () => {
    const problem = { title: "Not found", detail: "No such study.", errors: ["First.", 2, "Second."] };
    answering(() => Response.json(problem, { status: 404 }));
    const error = await failureOf(getStudy("a"));
    expect(error).toMatchObject({ status: 404, title: "It is not there", detail: "No such study. First. Second." });
    expect(error.isConnectionLoss).toBe(false);
  });

  it.each([502, 504])("a %d of a proxy means that the gateway is away", async (status) => {
    answering(() => new Response("<html>Bad gateway</html>", { status }));
    expect((await failureOf(getStudy("a"))).isConnectionLoss).toBe(true);
  });

  it("a broken connection says so", async () => {
    answering(() => new TypeError("Failed to fetch"));
    expect((await failureOf(getStudy("a"))).title).toBe("No connection");
  });

  it("one that was called off fails with the reason, not with an error to show", async () => {
    const controller = new AbortController();
    answering(() => {
      controller.abort();
      return new DOMException("aborted", "AbortError");
    });
    await expect(getStudy("a", controller.signal)).rejects.not.toBeInstanceOf(ApiError);
  });
});

describe("a problem", () => {
  it("keeps the study that was stored although nothing could analyse it", () => {
    const body = JSON.stringify({ title: "No model", detail: "Both are down.", study_id: "abc" });
    expect(problemOf(503, body).studyId).toBe("abc");
  });

  it.each(["", "null", "[]", "<html>", '{"title": 3}'])("without a usable body names the status: %s", (body) => {
    const problem = problemOf(500, body);
    expect(problem.title).toBe("Error 500");
    expect(problem.detail).toBe("The gateway answered with status 500.");
  });
});
