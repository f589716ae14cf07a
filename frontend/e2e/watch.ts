import type { Page } from "@playwright/test";

interface Announced {
  readonly status: number;
  readonly url: RegExp;
}

interface Trouble {
  readonly text: string;
  readonly url: string;
  /** The status of a refused request; null for everything else. */
  readonly status: number | null;
}

/** What a browser's console says of a request that was responded with an error. */
const REFUSED = /Failed to load resource: the server responded with a status of (\d{3})/;
/** What a browser's driver says of a spec that reads the drawn pixels back. */
const READ_BACK = "GPU stall due to ReadPixels";
/** The page stops requests that it no longer needs, and a download ends its navigation. */
const STOPPED_BY_US = "net::ERR_ABORTED";

/** Hears what goes wrong in a page: exceptions, console errors, failed and refused requests. */
export class Watch {
  private readonly heard: Trouble[] = [];
  private readonly announced: Announced[] = [];

  constructor(page: Page) {
    page.on("pageerror", (error) => this.hear(`exception: ${error.message}`, page.url()));
    page.on("console", (message) => {
      const isLoud = message.type() === "error" || message.type() === "warning";
      if (isLoud && !message.text().includes(READ_BACK)) {
        const status = REFUSED.exec(message.text())?.[1];
        const text = `console: ${message.text()}`;
        this.hear(text, message.location().url, status === undefined ? null : Number(status));
      }
    });
    page.on("requestfailed", (request) => {
      const reason = request.failure()?.errorText ?? "unknown";
      if (reason !== STOPPED_BY_US) {
        this.hear(`failed: ${request.method()} ${reason}`, request.url());
      }
    });
    page.on("response", (response) => {
      if (response.status() >= 400) {
        this.hear(`answered ${response.status()}`, response.url(), response.status());
      }
    });
  }

  /** Says beforehand that a request will be refused, because the spec is about that. */
  expectRefusal(status: number, url: RegExp): void {
    this.announced.push({ status, url });
  }

  troubles(): string[] {
    return this.heard
      .filter((trouble) => !this.announced.some((refusal) => isSame(refusal, trouble)))
      .map(({ text, url }) => `${text} (${url})`);
  }

  private hear(text: string, url: string, status: number | null = null): void {
    this.heard.push({ text, url, status });
  }
}

function isSame(announced: Announced, trouble: Trouble): boolean {
  return announced.status === trouble.status && announced.url.test(trouble.url);
}
