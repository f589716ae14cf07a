import ts from "typescript";
import { afterEach, describe, expect, it } from "vitest";

import { SHORTCUTS } from "../state/shortcuts";
import { ko, koSentences } from "../locales/ko";
import sentences from "./sentences.json";
import { FINDING_COLOURS } from "../domain/colours";
import { speak, t } from "./t";
import { tell } from "./tell";

const SOURCES = import.meta.glob<string>(["../**/*.{ts,tsx}", "!../**/*.test.*", "!../test/**", "!../locales/**", "!../**/*.d.ts"], {
  query: "?raw",
  import: "default",
  eager: true,
});
const CATALOGUES = { ko };
const SENTENCES = { ko: koSentences };
/** Attributes that a person reads or hears, the page's own among them. */
const READ = new Set([
  ...["label", "title", "aria-label", "aria-description", "aria-roledescription", "aria-valuetext", "placeholder", "alt"],
  ...["text", "note", "detail"],
]);
/** Attributes that nobody reads. */
const UNREAD = new Set(["className", "rel", "sizes", "media"]);
/** Names, and what is the same in every language. */
const SAME = new Set(["PNG · JPEG · DICOM", "English"]);
/** Two words, or a word and a value: prose, wherever it stands. */
const PROSE = /^(?!cxr\.)(?!.*\p{L}\()(?=.*\p{L}{2,},? +(\p{L}{2,}|\0))[\p{L}\p{N}\0 ,.'’:;!?()–-]+$/su;
const WORD = /\p{L}{2}/u;

interface Found {
  readonly keys: Set<string>;
  readonly unlisted: string[];
}

/** What stands between the quotation marks; a zero for each value that is put in. */
function literalOf(node: ts.Node): string | null {
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) {
    return node.text;
  }
  return ts.isTemplateExpression(node)
    ? [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)].join("\0")
    : null;
}

/** Whether a person reads or hears it, although nothing looks it up. */
function isForPeople(node: ts.Node, text: string): boolean {
  if (SAME.has(text) || !WORD.test(text)) {
    return false;
  }
  if (ts.isJsxText(node)) {
    return true;
  }
  // What is kept as a key and looked up later.
  const isKnown = Object.values(CATALOGUES).every((catalogue) => text in catalogue);
  let isShown = PROSE.test(text) && !isKnown;
  for (let at = node; !ts.isSourceFile(at); at = at.parent) {
    const { parent } = at;
    const isCall = ts.isCallExpression(parent) || ts.isNewExpression(parent);
    // Looked up, or a thing that code tells code; what a developer reads stays English.
    if (isCall && (parent.expression.getText() === "t" || ts.isThrowStatement(parent.parent))) {
      return false;
    }
    if (ts.isBinaryExpression(parent) && /^[!=]==$/u.test(parent.operatorToken.getText())) {
      return false;
    }
    const isValue = isCall || ts.isBinaryExpression(parent) || ts.isElementAccessExpression(parent);
    if (isValue && !isShown && !isConcatenation(parent) && !isTitle(parent)) {
      return false;
    }
    if (ts.isImportDeclaration(parent) || ts.isTypeNode(parent) || ts.isTaggedTemplateExpression(parent)) {
      return false;
    }
    if (ts.isJsxAttribute(parent)) {
      const name = parent.name.getText();
      return !UNREAD.has(name) && (isShown || READ.has(name));
    }
    isShown ||= ts.isJsxExpression(parent) && (ts.isJsxElement(parent.parent) || ts.isJsxFragment(parent.parent));
    isShown ||= isTitle(parent);
    if (ts.isStatement(parent)) {
      return isShown;
    }
  }
  return isShown;
}

function isConcatenation(node: ts.Node): boolean {
  const operators = [ts.SyntaxKind.PlusToken, ts.SyntaxKind.QuestionQuestionToken, ts.SyntaxKind.BarBarToken, ts.SyntaxKind.AmpersandAmpersandToken];
  return ts.isBinaryExpression(node) && operators.includes(node.operatorToken.kind);
}

/** `document.title = ...` */
function isTitle(node: ts.Node): boolean {
  return ts.isBinaryExpression(node) && node.left.getText() === "document.title";
}

/** The texts that are looked up, and those that are not but should be. */
function textsOf(file: string, source: string): Found {
  const found: Found = { keys: new Set(), unlisted: [] };
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true, file.endsWith("x") ? ts.ScriptKind.TSX : ts.ScriptKind.TS);
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && node.expression.getText() === "t") {
      const [first] = node.arguments;
      if (first !== undefined && ts.isStringLiteral(first)) {
        found.keys.add(first.text);
      }
    }
    if (ts.isCallExpression(node) && node.expression.getText() === "count") {
      const [singular, plural] = node.arguments.slice(1);
      if (singular !== undefined && ts.isStringLiteral(singular)) {
        found.keys.add(singular.text);
        found.keys.add(plural !== undefined && ts.isStringLiteral(plural) ? plural.text : `${singular.text}s`);
      }
    }
    const text = ts.isJsxText(node) ? node.text : literalOf(node);
    if (text !== null && isForPeople(node, text)) {
      found.unlisted.push(`${file}: ${node.getText().trim()}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}

const FOUND = Object.entries(SOURCES).map(([file, source]) => textsOf(file, source));
const KEYS = new Set(FOUND.flatMap(({ keys }) => [...keys]));

afterEach(() => speak("en", {}));

describe("a text that nothing looks up", () => {
  it.each([
    `const a = <p>Some words</p>;`,
    `const a = <p>{ready ? "Ready" : t("Away")}</p>;`,
    `const a = <img alt="Chest" />;`,
    `const a = <input placeholder={wide ? "Find a name" : "Find"} />;`,
    "const a = <b title={`Waits ${n} minutes`} />;",
    `const a = <b aria-label={name ?? "Nobody"} />;`,
    `document.title = "Reader";`,
    `document.title = unread + " waiting";`,
    "const born = `born ${date}`;",
    `const note = ["no such patient"];`,
    `const a = <b title="Close" />;`,
  ])("is found: %s", (source) => {
    expect(textsOf("a.tsx", source).unlisted).not.toEqual([]);
  });

  it.each([
    `const a = <p className="button button-quiet" rel="noopener noreferrer">{t("Some words")}</p>;`,
    `const a = <b title={t("Waits {0} minutes", n)} data-phase={isOn ? "shown" : "hidden"} />;`,
    `throw new Error("no such thing here");`,
    `if (phase === "sending") { go("away"); }`,
    `const a = <b title={kind === "sent" ? t("Sent") : t("Kept")} />;`,
  ])("is not taken for one: %s", (source) => {
    expect(textsOf("a.tsx", source).unlisted).toEqual([]);
  });
});

describe("the catalogues", () => {
  it("know every text of the page: none stands in a component unlisted", () => {
    expect(FOUND.flatMap(({ unlisted }) => unlisted)).toEqual([]);
    expect(KEYS.size).toBeGreaterThan(300);
  });

  it.each(Object.entries(CATALOGUES))("%s has every text", (_, catalogue) => {
    const missing = [...KEYS].filter((key) => !(key in catalogue) && !SAME.has(key));
    expect(missing).toEqual([]);
  });

  it.each(Object.entries(CATALOGUES))("%s has what is looked up by its name", (_, catalogue) => {
    const names = Object.keys(FINDING_COLOURS).map((name) => {
      const words = name.replaceAll("_", " ").toLowerCase();
      return words.charAt(0).toUpperCase() + words.slice(1);
    });
    const groups = SHORTCUTS.map(({ group }) => group);
    expect([...names, ...groups].filter((name) => !(name in catalogue))).toEqual([]);
  });

  it.each(Object.entries(CATALOGUES))("%s fills the same places", (_, catalogue) => {
    const places = (text: string): string => [...new Set(text.match(/\{\d\}/gu))].sort().join();
    expect(Object.entries(catalogue).filter(([key, text]) => places(key) !== places(text))).toEqual([]);
  });
});

describe("the gateway's sentences", () => {
  it.each(Object.entries(SENTENCES))("%s has every one that a study may carry, and no other", (_, catalogue) => {
    expect(Object.keys(catalogue).sort()).toEqual([...sentences].sort());
  });

  it.each(Object.entries(SENTENCES))("%s fills the same places", (_, catalogue) => {
    const places = (text: string): string => [...new Set(text.match(/\{\d\}/gu))].sort().join();
    expect(Object.entries(catalogue).filter(([key, text]) => places(key) !== places(text))).toEqual([]);
  });

  it("are told in the reader's language, several in a row, with findings by their names", () => {
    speak("ko", ko, koSentences);
    const reason = "Pleural Thickening is likely: its probability of 0.512 reaches 0.400. The detector did not answer, so no region was looked for.";
    expect(tell(reason)).toBe(
      `${t("Pleural thickening")}: ${t("Likely")}. 확률 0.512이(가) 기준 0.400에 이릅니다. 검출기가 응답하지 않아 부위를 찾지 않았습니다.`,
    );
    const thumbnail = "Only about 64 pixels a side carry detail: small findings cannot be seen. Was a thumbnail sent?";
    expect(tell(thumbnail)).toContain("약 64픽셀");
    expect(tell("Rescale Slope (0028,1053) is 0 and was passed over.")).toBe("Rescale Slope (0028,1053)이(가) 0이어서 무시했습니다.");
  });

  it("that nobody knows are told as they came, and so are all in English", () => {
    speak("ko", ko, koSentences);
    expect(tell("Something new. Black and white seem to be exchanged.")).toBe("Something new. Black and white seem to be exchanged.");
    speak("en", {});
    expect(tell("Black and white seem to be exchanged.")).toBe("Black and white seem to be exchanged.");
  });
});

describe("a text", () => {
  it("is English until another language is spoken", () => {
    expect(t("Studies")).toBe("Studies");
    speak("ko", ko);
    expect(t("Studies")).toBe("검사");
    expect(t("No such text")).toBe("No such text");
  });

  it("takes its values in the order of the language, and shows nothing for nothing", () => {
    speak("ko", ko);
    expect(t("{0} of {1} answers in {2}, {3} before.", "80%", 20, "2026-03", "50%")).toBe(
      "2026-03의 답 20개 중 80%, 이전에는 50%.",
    );
    expect(t("waits {0}", null)).toBe(" 대기");
  });

  it("never takes a value for a place", () => {
    expect(t("{0} by {1}", "{1}", "me")).toBe("{1} by me");
  });
});
