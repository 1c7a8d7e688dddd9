// Code blocks: ANSI colours, diff lines and a light colouring of common languages.

import { h } from "./dom.js";

/** Splits text with ANSI SGR codes into [{text, classes}]. Codes Discord does not know are dropped. */
export function ansi(text) {
  const runs = [];
  let style = { fg: 0, bg: 0, bold: false, underline: false };
  let last = 0;
  const flush = (end) => {
    if (end <= last) return;
    const classes = [];
    if (style.bold) classes.push("ansi-1");
    if (style.underline) classes.push("ansi-4");
    if (style.fg) classes.push(`ansi-${style.fg}`);
    if (style.bg) classes.push(`ansi-${style.bg}`);
    runs.push({ text: text.slice(last, end), classes: classes.join(" ") });
  };
  for (const m of text.matchAll(/\u001b\[([\d;]*)([A-Za-z])/g)) {
    flush(m.index);
    last = m.index + m[0].length;
    if (m[2] !== "m") continue;
    for (const part of m[1].split(";")) {
      const code = Number(part || 0);
      if (code === 0) style = { fg: 0, bg: 0, bold: false, underline: false };
      else if (code === 1) style = { ...style, bold: true };
      else if (code === 4) style = { ...style, underline: true };
      else if (code >= 30 && code <= 37) style = { ...style, fg: code };
      else if (code >= 40 && code <= 47) style = { ...style, bg: code };
    }
  }
  flush(text.length);
  return runs;
}

function diff(text) {
  return text.split("\n").map((line, i, all) => {
    const kind = /^(---|\+\+\+|@@|index |diff )/.test(line) ? "meta" : line[0] === "+" ? "add" : /^[-!]/.test(line) ? "del" : "";
    return h("span", { class: kind ? `hl-${kind}` : null }, line + (i < all.length - 1 ? "\n" : ""));
  });
}

const WORDS =
  "and as assert async await break case catch class const continue def default del do elif else except export extends " +
  "finally fn for from func function if impl import in interface is let match mut new not null None or package pass pub " +
  "raise return self static struct switch this throw true false True False try type use var void while with yield " +
  "then fi done esac echo set select where insert update delete create table";
const KEYWORDS = new Set(WORDS.split(" "));
const TOKEN = /(#[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?\*\/)|("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|(\b\d[\w.]*\b)|([A-Za-z_]\w*)/g;
const COLOURED = new Set(
  "py python js javascript ts typescript json toml ini yaml yml sh bash shell zsh c cpp rust rs go java sql rb ruby css".split(" "),
);

function coloured(text) {
  const parts = [];
  let last = 0;
  for (const m of text.matchAll(TOKEN)) {
    const kind = m[1] ? "comment" : m[2] ? "string" : m[3] ? "number" : KEYWORDS.has(m[4]) ? "keyword" : null;
    if (kind === null) continue;
    parts.push(text.slice(last, m.index), h("span", { class: `hl-${kind}` }, m[0]));
    last = m.index + m[0].length;
  }
  parts.push(text.slice(last));
  return parts;
}

/** A code block as Discord shows it, for the languages above; any other language is plain. */
export function codeBlock(text, language) {
  let body = text;
  if (language === "ansi") body = ansi(text).map((run) => (run.classes ? h("span", { class: run.classes }, run.text) : run.text));
  else if (language === "diff" || language === "patch") body = diff(text);
  else if (COLOURED.has(language)) body = coloured(text);
  return h("pre", { class: "code-block", tabindex: "0" }, h("code", { class: language ? `lang-${language.replace(/\W/g, "")}` : null }, body));
}
