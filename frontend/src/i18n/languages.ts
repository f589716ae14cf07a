import { type Catalogue, speak } from "./t";

/** The texts of the page, and the sentences of the gateway. */
interface Texts {
  readonly texts: Catalogue;
  readonly sentences: Catalogue;
}

const ENGLISH: Texts = { texts: {}, sentences: {} };

/** A third language is one more line, and one more file. */
export const LANGUAGES = {
  en: { name: "English", load: (): Promise<Texts> => Promise.resolve(ENGLISH) },
  ko: { name: "한국어", load: (): Promise<Texts> => import("../locales/ko").then(({ ko, koSentences }) => ({ texts: ko, sentences: koSentences })) },
} as const satisfies Record<string, { readonly name: string; readonly load: () => Promise<Texts> }>;

export type LanguageCode = keyof typeof LANGUAGES;

const KEY = "cxr.language";

export function isLanguage(code: string): code is LanguageCode {
  return Object.hasOwn(LANGUAGES, code);
}

/** What this browser remembers, else the first of its languages that there is, else English. */
export function chosenLanguage(): LanguageCode {
  let stored: string | null = null;
  try {
    stored = window.localStorage.getItem(KEY);
  } catch {
    // A private window without storage.
  }
  const wanted = [stored, ...navigator.languages].map((code) => (code ?? "").split("-", 1)[0] ?? "");
  return wanted.find(isLanguage) ?? "en";
}

export async function startLanguage(): Promise<void> {
  const code = chosenLanguage();
  try {
    const { texts, sentences } = await LANGUAGES[code].load();
    speak(code, texts, sentences);
    document.documentElement.lang = code;
  } catch {
    // The file did not come: English, which needs none.
  }
}

/** Texts are read when the page starts, so it starts anew. */
export function chooseLanguage(code: LanguageCode): void {
  try {
    window.localStorage.setItem(KEY, code);
  } catch {
    return;
  }
  window.location.reload();
}
