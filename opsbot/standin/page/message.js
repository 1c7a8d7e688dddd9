// One message, as Discord shows it.

import { attachments } from "./attachments.js";
import { components } from "./components.js";
import { h, icon } from "./dom.js";
import { embed } from "./embed.js";
import { markdown } from "./markdown-dom.js";
import { plain } from "./markdown.js";
import { FLAG } from "./store.js";
import { fullTime, messageTime, shortTime, shown } from "./time.js";
import { dots, isPrivate } from "./view.js";

const TOKEN_LIFE = 15 * 60 * 1000; // a deferred answer cannot come later
const GROUP_WITHIN = 7 * 60 * 1000;
const JUMBO = /^(?:\s*(?:\p{Emoji_Presentation}|\p{Emoji}\uFE0F)(?:\u200d(?:\p{Emoji_Presentation}|\p{Emoji}\uFE0F))*){1,27}\s*$/u;
const ORDINARY = new Set([0, 19, 20, 23]);

function interactionOf(message) {
  const meta = message.interaction_metadata;
  const old = message.interaction;
  const user = meta?.user ?? old?.user;
  const name = old?.name ?? meta?.name;
  const type = meta?.type ?? old?.type;
  return user && name && type === 2 ? { user, name } : null;
}

const hasHeader = (message) => Boolean(interactionOf(message) || message.message_reference || message.type === 19);

/** Does this message continue the one before it, without repeating the author? */
export function continues(message, before) {
  return Boolean(
    before && before.author.id === message.author.id && ORDINARY.has(message.type) && ORDINARY.has(before.type) &&
      !message.pinned && !hasHeader(message) && isPrivate(before) === isPrivate(message) &&
      new Date(message.timestamp) - new Date(before.timestamp) < GROUP_WITHIN,
  );
}

function spine(...children) {
  return h("div", { class: "message-context" }, ...children);
}

function context(view, message) {
  const command = interactionOf(message);
  if (command) {
    return spine(view.avatar(command.user, 16), view.authorName(command.user), " ", h("span", { class: "used" }, "used"), " ",
      h("span", { class: "command-name" }, icon("slash", 16), command.name));
  }
  if (!message.message_reference || message.type === 18 || message.type === 6 || message.type === 21) return null;
  const source = view.store.find(message.message_reference.message_id) ?? message.referenced_message;
  if (!source) return spine(h("span", { class: "gone" }, "Original message was deleted"));
  const words = source.content ? plain(source.content, shown).slice(0, 200) : null;
  const jump = () => document.getElementById(`message-${source.id}`)?.scrollIntoView({ block: "center", behavior: "smooth" });
  return spine(view.avatar(source.author, 16), source.author.bot ? view.appTag() : null, view.authorName(source.author), " ",
    h("button", { type: "button", class: "reply-text", on: { click: jump } }, words ?? h("em", null, source.embeds?.length || source.attachments?.length ? "Click to see attachment" : "Click to see message")));
}

function threadChip(view, message) {
  const thread = view.store.channels.get(message.id) ?? message.thread;
  if (!thread) return null;
  const last = view.store.messages.get(thread.id)?.at(-1);
  const count = Math.max(thread.message_count ?? 0, view.store.messages.get(thread.id)?.length ?? 0);
  return h("button", { type: "button", class: "thread-chip", data: { testid: `thread-${thread.id}` }, on: { click: () => view.openChannel(thread.id) } },
    h("span", { class: "thread-top" }, h("strong", null, thread.name), h("span", { class: "thread-count" }, `${count} Message${count === 1 ? "" : "s"} ›`)),
    last
      ? h("span", { class: "thread-last" }, view.avatar(last.author, 16), view.authorName(last.author),
        h("span", { class: "thread-words" }, plain(last.content ?? "", shown) || "sent an embed"), h("time", null, messageTime(last.timestamp)))
      : h("span", { class: "thread-last" }, "There are no recent messages in this thread."));
}

function body(view, message) {
  const parts = [];
  if (message.flags & FLAG.LOADING && !message.components?.length && !message.embeds?.length) {
    const late = Date.now() - new Date(message.timestamp) > TOKEN_LIFE;
    parts.push(late ? h("div", { class: "echo-failed" }, icon("warning", 18), "The application did not respond")
      : h("div", { class: "thinking", role: "status" }, dots(), `${view.store.nameOf(message.author)} is thinking…`));
  } else if (message.content && !(message.flags & FLAG.V2)) {
    parts.push(h("div", { class: `markup content ${JUMBO.test(message.content) ? "jumbo" : ""}` }, markdown(message.content, view), edited(message)));
  }
  if (!(message.flags & FLAG.V2)) {
    parts.push(attachments(view, message));
    // bit 2 of the flags: embeds are suppressed
    if (!(message.flags & 4)) parts.push((message.embeds ?? []).map((e) => embed(view, message, e)));
  }
  parts.push(components(view, message));
  if ((!message.content || message.flags & FLAG.V2) && message.edited_timestamp && !(message.flags & FLAG.LOADING)) parts.push(h("div", null, edited(message)));
  parts.push(reactions(message));
  parts.push(threadChip(view, message));
  if (isPrivate(message)) parts.push(onlyYou(view, message.id));
  return parts;
}

function edited(message) {
  if (!message.edited_timestamp) return null;
  return h("time", { class: "edited", datetime: message.edited_timestamp, data: { tip: fullTime(message.edited_timestamp) } }, "(edited)");
}

function reactions(message) {
  if (!message.reactions?.length) return null;
  return h("div", { class: "reactions" }, message.reactions.map((r) => h("span", { class: `reaction ${r.me ? "mine" : ""}` }, r.emoji.name, h("b", null, String(r.count)))));
}

export function onlyYou(view, id) {
  return h("div", { class: "only-you" }, icon("eye", 16), h("span", null, "Only you can see this"), h("span", { class: "bullet" }, "•"),
    h("button", { type: "button", class: "link-button", on: { click: () => view.store.dismiss(id) } }, "Dismiss message"));
}

/** The lines Discord writes itself: joins, pins, threads. */
function system(view, message) {
  const author = view.authorName(message.author);
  const time = h("time", { class: "message-time", datetime: message.timestamp, data: { tip: fullTime(message.timestamp) } }, messageTime(message.timestamp));
  const open = () => view.openChannel(message.message_reference?.channel_id);
  const lines = {
    6: ["pin", [author, " pinned a message to this channel."]],
    7: ["join", [author, " joined the server."]],
    18: ["thread", [author, " started a thread: ", h("button", { type: "button", class: "system-link", on: { click: open } }, message.content), "."]],
    21: ["thread", [author, " started this thread."]],
  };
  const [name, words] = lines[message.type] ?? ["right", [author, " did something this page does not know."]];
  return h("div", { class: "system-line" }, h("span", { class: "system-icon" }, icon(name, 18)), h("span", null, words, " ", time));
}

/** Fills `node` (an <li>) with the message. `before` is the message above it, for grouping. */
export function draw(view, node, message, before) {
  const grouped = continues(message, before);
  const head = grouped ? null : context(view, message);
  const labelled = `author-${message.id}`;
  node.id = `message-${message.id}`;
  node.dataset.testid = `message-${message.id}`;
  node.className = ["message", grouped ? "grouped" : "first", head ? "with-context" : "", view.store.pings(message) ? "pinged" : "", isPrivate(message) ? "private" : ""].join(" ");
  if (!ORDINARY.has(message.type)) {
    node.className = "message system";
    node.replaceChildren(system(view, message));
    return;
  }
  const time = (text, className) => h("time", { class: className, datetime: message.timestamp, data: { tip: fullTime(message.timestamp) } }, text);
  node.replaceChildren(h("article", { "aria-labelledby": grouped ? null : labelled }, ...[
    head,
    grouped ? time(shortTime(message.timestamp), "grouped-time") : h("div", { class: "message-avatar" }, view.avatar(message.author)),
    grouped ? null : h("h3", { class: "message-head", id: labelled }, view.authorName(message.author), " ", message.author.bot ? [view.appTag(), " "] : null,
      time(messageTime(message.timestamp), "message-time"),
      message.flags & FLAG.SILENT ? h("span", { class: "silent", role: "img", "aria-label": "This was a silent message", data: { tip: "This was a @silent message." } }, icon("silent", 14)) : null,
      message.pinned ? h("span", { class: "pinned", role: "img", "aria-label": "Pinned", data: { tip: "Pinned" } }, icon("pin", 14)) : null),
    h("div", { class: "message-body" }, body(view, message)),
  ].filter(Boolean)));
}

/** The local line of a command on its way, and what is left of it when nothing answered. */
export function drawEcho(view, node, echo) {
  const bot = view.store.application.bot ?? { id: view.store.application.id, username: view.store.application.name, bot: true };
  const words = {
    sending: () => h("div", { class: "thinking", role: "status" }, dots(), "Sending command…"),
    thinking: () => h("div", { class: "thinking", role: "status" }, dots(), `${view.store.nameOf(bot)} is thinking…`),
    failed: () => h("div", { class: "echo-failed", role: "alert" }, icon("warning", 18), echo.text),
  }[echo.state]();
  node.id = `message-echo-${echo.nonce}`;
  node.dataset.testid = `echo-${echo.state}`;
  node.className = `message first with-context ${echo.state === "failed" || echo.ephemeral ? "private" : ""}`;
  node.replaceChildren(h("article", null,
    spine(view.avatar(view.store.me, 16), view.authorName(view.store.me), " ", h("span", { class: "used" }, "used"), " ", h("span", { class: "command-name" }, icon("slash", 16), echo.name)),
    h("div", { class: "message-avatar" }, view.avatar(bot)),
    h("h3", { class: "message-head" }, view.authorName(bot), " ", view.appTag(), " ", h("time", { class: "message-time", datetime: echo.at }, messageTime(echo.at))),
    h("div", { class: "message-body" }, words, echo.state === "failed" || echo.ephemeral ? onlyYou(view, `echo-${echo.nonce}`) : null)));
}
