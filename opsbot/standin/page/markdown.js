// Discord's Markdown, parsed to a tree of plain values: {kind, ...}. Pure; markdown-dom.js turns the tree into nodes.

const MAX_DEPTH = 12; // hostile nesting ends here; the rest is shown as it was written

const RULES = {
  escape: /\\([^0-9A-Za-z\s])/y,
  fence: /```(?:([\w+\-.#]+)\n)?\n*([^\n][\s\S]*?)\n*```/y,
  code: /(`+)([\s\S]*?[^`])\1(?!`)/y,
  quoteAll: />>> ([\s\S]*)/y,
  quote: /(?:>(?: [^\n]*|(?=\n|$))(?:\n|$))+/y,
  heading: /(#{1,3}) +([^\n]+)(?:\n|$)/y,
  subtext: /-# +([^\n]+)(?:\n|$)/y,
  list: / {0,10}(?:[-*]|\d{1,9}\.) +\S/y,
  autolink: /<(https?:\/\/[^\s<>]+)>/y,
  timestamp: /<t:(-?\d{1,13})(?::([tTdDfFsSR]))?>/y,
  user: /<@!?(\d{1,20})>/y,
  role: /<@&(\d{1,20})>/y,
  channel: /<#(\d{1,20})>/y,
  command: /<\/([-\w]{1,32}(?: [-\w]{1,32}){0,2}):(\d{1,20})>/y,
  emoji: /<a?:(\w{2,32}):(\d{1,20})>/y,
  url: /https?:\/\/[^\s<]+[^<.,:;"'\]\s]/y,
  link: /\[((?:\\.|\[[^[\]]*\]|[^[\]\\])+)\]\(\s*<?(https?:\/\/(?:\([^\s()<>]*\)|[^\s()<>])+)>?(?:\s+"([^"]*)")?\s*\)/y,
  spoiler: /\|\|([\s\S]+?)\|\|/y,
  strong: /\*\*((?:\\[\s\S]|[^\\])+?)\*\*(?!\*)/y,
  under: /__((?:\\[\s\S]|[^\\])+?)__(?!_)/y,
  star: /\*(?=\S)((?:\*\*|\\[\s\S]|\s+(?:\\[\s\S]|[^\s*\\]|\*\*)|[^\s*\\])+?)\*(?!\*)/y,
  dash: /\b_((?:__|\\[\s\S]|[^\\_])+?)_\b/y,
  strike: /~~([\s\S]+?)~~(?!_)/y,
  everyone: /@(everyone|here)\b/y,
};

/** Where the rules can start: everything else is text. */
const STARTS = "\\`>#-<h[|*_~@ 0123456789";

function at(rule, source, index) {
  RULES[rule].lastIndex = index;
  return RULES[rule].exec(source);
}

/**
 * Parses Discord Markdown. `blocks`: headings, quotes and lists are allowed (message content, embed descriptions,
 * field values); `links`: masked links are allowed. Returns nodes; text nodes are {kind: "text", text}.
 */
export function parse(source, { blocks = true, links = true } = {}) {
  return new Parser({ blocks, links }).run(source, { depth: 0, blocks, inQuote: false });
}

class Parser {
  constructor(options) {
    this.links = options.links;
  }

  run(source, context) {
    if (context.depth > MAX_DEPTH) return [{ kind: "text", text: source }];
    const nodes = [];
    let text = "";
    let index = 0;
    while (index < source.length) {
      const lineStart = index === 0 || source[index - 1] === "\n";
      const found = STARTS.includes(source[index]) ? this.match(source, index, context, lineStart) : null;
      if (found === null) {
        text += source[index];
        index += 1;
        continue;
      }
      if (found.node.kind === "text") text += found.node.text;
      else {
        if (text) nodes.push({ kind: "text", text });
        text = "";
        nodes.push(found.node);
      }
      index += found.length;
    }
    if (text) nodes.push({ kind: "text", text });
    return nodes;
  }

  inner(text, context, changes = {}) {
    return this.run(text, { ...context, depth: context.depth + 1, blocks: false, ...changes });
  }

  match(source, index, context, lineStart) {
    if (lineStart && context.blocks) {
      const block = this.block(source, index, context);
      if (block) return block;
    }
    return this.inline(source, index, context);
  }

  block(source, index, context) {
    let m;
    if (!context.inQuote && (m = at("quoteAll", source, index))) {
      return { node: { kind: "quote", children: this.inner(m[1], context, { blocks: true, inQuote: true }) }, length: m[0].length };
    }
    if (!context.inQuote && (m = at("quote", source, index))) {
      const body = m[0].replace(/\n$/, "").replace(/^> ?/gm, "");
      return { node: { kind: "quote", children: this.inner(body, context, { blocks: true, inQuote: true }) }, length: m[0].length };
    }
    if ((m = at("heading", source, index))) {
      const text = m[2].replace(/\s+#+\s*$/, "").trim();
      return { node: { kind: "heading", level: m[1].length, children: this.inner(text, context) }, length: m[0].length };
    }
    if ((m = at("subtext", source, index))) {
      return { node: { kind: "subtext", children: this.inner(m[1], context) }, length: m[0].length };
    }
    if (at("list", source, index)) return this.list(source, index, context);
    return null;
  }

  list(source, index, context) {
    const item = /^( *)([-*]|\d{1,9}\.) +(\S.*)$/;
    const lines = [];
    let length = 0;
    for (const line of source.slice(index).split("\n")) {
      const m = item.exec(line);
      const other = m && lines.length && m[1].length <= lines[0].indent && /\d/.test(m[2]) !== lines[0].ordered;
      if (other) break; // numbers after bullets begin a list of their own
      if (m) lines.push({ indent: m[1].length, ordered: /\d/.test(m[2]), start: parseInt(m[2], 10), text: m[3] });
      else if (lines.length && /^ {2,}\S/.test(line)) lines.at(-1).text += `\n${line.trim()}`;
      else break;
      length += line.length + 1;
    }
    const node = this.nest(lines, 0, lines.length, context, 0);
    return { node, length: Math.min(length, source.length - index) };
  }

  nest(lines, from, to, context, level) {
    const base = lines[from].indent;
    const items = [];
    let i = from;
    while (i < to) {
      let end = i + 1;
      while (end < to && lines[end].indent > base && level < 10) end += 1;
      const children = this.inner(lines[i].text, context);
      if (end > i + 1) children.push(this.nest(lines, i + 1, end, context, level + 1));
      items.push(children);
      i = end;
    }
    return { kind: "list", ordered: lines[from].ordered, start: lines[from].start, level, items };
  }

  inline(source, index, context) {
    let m;
    const done = (node) => ({ node, length: m[0].length });
    const text = (value) => done({ kind: "text", text: value });
    switch (source[index]) {
      case "\\":
        return (m = at("escape", source, index)) && text(m[1]);
      case "`":
        if ((m = at("fence", source, index))) {
          const found = done({ kind: "fence", language: (m[1] ?? "").toLowerCase(), text: m[2] });
          if (source[index + found.length] === "\n") found.length += 1; // the block already ends the line
          return found;
        }
        if ((m = at("code", source, index))) return done({ kind: "code", text: m[2].replace(/^ (?=`)|(?<=`) $/g, "") });
        // an unclosed run of backticks is text as a whole, else its tail would open a code span of its own
        m = /`+/y;
        m.lastIndex = index;
        m = m.exec(source);
        return text(m[0]);
      case "<":
        return this.angle(source, index);
      case "h":
        if (/\w/.test(source[index - 1] ?? "") || !(m = at("url", source, index))) return null;
        m = [balanced(m[0])];
        return done({ kind: "link", url: m[0], children: [{ kind: "text", text: m[0] }] });
      case "[":
        if (!this.links || context.inLink || !(m = at("link", source, index))) return null;
        // a link that shows another address than the one it opens is written out, as Discord does
        if (/https?:\/\//.test(m[1]) && m[1] !== m[2]) return text(m[0]);
        return done({ kind: "link", url: m[2], title: m[3], children: this.inner(m[1], context, { inLink: true }) });
      case "|":
        return (m = at("spoiler", source, index)) && done({ kind: "spoiler", children: this.inner(m[1], context) });
      case "~":
        return (m = at("strike", source, index)) && done({ kind: "strike", children: this.inner(m[1], context) });
      case "*":
      case "_":
        return this.emphasis(source, index, context);
      case "@":
        return (m = at("everyone", source, index)) && done({ kind: "everyone", text: m[0] });
      default:
        return null;
    }
  }

  angle(source, index) {
    for (const rule of ["autolink", "timestamp", "user", "role", "channel", "command", "emoji"]) {
      const m = at(rule, source, index);
      if (!m) continue;
      const node = {
        autolink: () => ({ kind: "link", url: m[1], children: [{ kind: "text", text: m[1] }] }),
        timestamp: () => ({ kind: "timestamp", seconds: Number(m[1]), style: m[2] ?? "f", raw: m[0] }),
        user: () => ({ kind: "user", id: m[1], raw: m[0] }),
        role: () => ({ kind: "role", id: m[1], raw: m[0] }),
        channel: () => ({ kind: "channel", id: m[1], raw: m[0] }),
        command: () => ({ kind: "command", name: m[1], id: m[2], raw: m[0] }),
        emoji: () => ({ kind: "text", text: `:${m[1]}:` }),
      }[rule]();
      return { node, length: m[0].length };
    }
    return null;
  }

  /** `***x***`, `**x**`, `__x__`, `*x*` and `_x_` compete; the longest match wins, as in Discord's client. */
  emphasis(source, index, context) {
    const rules = source[index] === "*" ? [["strong", "strong"], ["em", "star"]] : [["under", "under"], ["em", "dash"]];
    let best = null;
    for (const [kind, rule] of rules) {
      const m = at(rule, source, index);
      if (m && (best === null || m[0].length > best.m[0].length)) best = { kind, m };
    }
    if (best === null) return null;
    return { node: { kind: best.kind, children: this.inner(best.m[1], context) }, length: best.m[0].length };
  }
}

/** Drops a closing bracket that belongs to the sentence, not to the address. */
function balanced(url) {
  let open = 0;
  for (let i = 0; i < url.length; i += 1) {
    if (url[i] === "(") open += 1;
    else if (url[i] === ")" && (open -= 1) < 0) return url.slice(0, i);
  }
  return url;
}

/** The same text without its marks, for previews and labels. */
export function plain(source, moment = () => null) {
  const flat = (nodes) =>
    nodes
      .map((n) => (n.kind === "timestamp" ? moment(n.seconds, n.style) : null) ?? n.text ?? n.raw ?? (n.items ? n.items.map(flat).join(" ") : n.children ? flat(n.children) : ""))
      .join("");
  return flat(parse(source)).replace(/\s+/g, " ").trim();
}
