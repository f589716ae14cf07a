/**
 * Sentences of the gateway, in the reader's language.
 *
 * The gateway writes them in English. `sentences.json` lists them as its code has them, with places
 * for what is put in; a catalogue has a translation of each. What is not known is told as it came.
 */

import { type Catalogue, currentSentences, fill, t } from "./t";

interface Pattern {
  readonly expression: RegExp;
  readonly places: readonly number[];
  readonly text: string;
}

const compiled = new WeakMap<Catalogue, readonly Pattern[]>();

/** One sentence or several, one after the other. */
export function tell(said: string): string {
  const patterns = patternsOf(currentSentences());
  const told: string[] = [];
  let rest = said.trim();
  while (rest !== "") {
    const found = first(patterns, rest);
    if (found === null) {
      return said;
    }
    told.push(found.text);
    rest = rest.slice(found.length).trimStart();
  }
  return told.join(" ");
}

function first(patterns: readonly Pattern[], rest: string): { text: string; length: number } | null {
  for (const { expression, places, text } of patterns) {
    const match = expression.exec(rest);
    if (match !== null) {
      const values: string[] = [];
      places.forEach((place, at) => (values[place] = value(match[at + 1] ?? "")));
      return { text: fill(text, values), length: match[0].length };
    }
  }
  return null;
}

/** The most particular first: the one with the most words of its own. */
function patternsOf(catalogue: Catalogue): readonly Pattern[] {
  const known = compiled.get(catalogue);
  if (known !== undefined) {
    return known;
  }
  const own = (template: string): number => template.replaceAll(/\{\d\}/gu, "").length;
  const made = Object.entries(catalogue)
    .sort(([a], [b]) => own(b) - own(a))
    .map(([template, text]): Pattern => {
      const parts = template.split(/\{(\d)\}/u);
      const source = parts.map((part, at) => (at % 2 === 1 ? "(.+?)" : escaped(part))).join("");
      return {
        // To the end of the sentence: the next begins after a space.
        expression: new RegExp(`^${source}(?=\\s|$)`, "u"),
        places: parts.filter((_, at) => at % 2 === 1).map(Number),
        text,
      };
    });
  compiled.set(catalogue, made);
  return made;
}

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/gu, "\\$&");
}

/** What was put in: a number and a tag's name stay, a finding and a level are words. */
function value(said: string): string {
  const word = said.charAt(0).toUpperCase() + said.slice(1).toLowerCase();
  const told = t(word);
  return told === word ? t(said) : told;
}
