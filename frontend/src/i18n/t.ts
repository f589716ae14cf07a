/**
 * What the page says, in the language that was chosen.
 *
 * The English text is the key; another language is one file of `src/locales`. It is loaded before
 * the page's own modules (`main.tsx`), so that tables of texts may be made when a module is loaded.
 */

export type Catalogue = Readonly<Record<string, string>>;
type Value = string | number | boolean | null | undefined;

let catalogue: Catalogue = {};
let sentences: Catalogue = {};
let language = "en";

/** `{0}` and so on stand for the values; nothing stands for null, undefined and a boolean. */
export function t(text: string, ...values: readonly Value[]): string {
  return fill(catalogue[text] ?? text, values);
}

export function fill(text: string, values: readonly Value[]): string {
  return text.replace(/\{(\d)\}/gu, (_, at: string) => {
    const value = values[Number(at)];
    return value === null || value === undefined || typeof value === "boolean" ? "" : String(value);
  });
}

/** Of the gateway's sentences. */
export function currentSentences(): Catalogue {
  return sentences;
}

/** As `lang` writes it; dates and numbers follow it. */
export function currentLanguage(): string {
  return language;
}

export function speak(code: string, texts: Catalogue, ofGateway: Catalogue = {}): void {
  sentences = ofGateway;
  language = code;
  catalogue = texts;
}
