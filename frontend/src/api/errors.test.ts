import { describe, expect, it } from "vitest";

import { ApiError, problemOf } from "./errors";

const [schema = ""] = Object.values(
  import.meta.glob<string>("./schema.d.ts", { query: "?raw", import: "default", eager: true }),
);
/** Those that the API's description names. */
const TYPES = [...new Set(schema.match(/urn:cxr:problem:[a-z-]+/gu))];

describe("an error", () => {
  it.each(TYPES)("%s has a title in the page's own words", (type) => {
    const { title } = problemOf(422, JSON.stringify({ type, title: "Unprocessable", detail: "No." }));
    expect(title).not.toMatch(/^Error |Unprocessable/u);
  });

  it("of a type that nobody knows goes by its status", () => {
    expect(problemOf(418, JSON.stringify({ type: "urn:cxr:problem:later" })).title).toBe("Error 418");
    expect(problemOf(503, JSON.stringify({ type: "urn:cxr:problem:later" })).title).toBe("Something is not there now");
    expect(problemOf(413, "<html>").title).toBe("The file is too large");
    expect(TYPES.length).toBeGreaterThan(15);
  });

  it("is worth another try only where the file is not what is wrong", () => {
    const worth = [0, 400, 408, 413, 415, 422, 429, 500, 503, 507].filter((status) => new ApiError(status, "", "").isWorthAgain);
    expect(worth).toEqual([0, 408, 429, 500, 503, 507]);
  });
});
