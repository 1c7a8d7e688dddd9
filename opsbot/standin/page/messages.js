// The list of messages: keyed by id, redrawn where something changed, and never jumping under the reader's eyes.

import { h, icon } from "./dom.js";
import { markdown } from "./markdown-dom.js";
import { draw, drawEcho } from "./message.js";
import { isThread } from "./store.js";
import { dayName } from "./time.js";

const AT_END = 40; // px from the end that still count as being there

export class Messages {
  constructor(view) {
    this.view = view;
    this.rows = new Map(); // key -> {node, version}
    this.atEnd = true;
    this.top = 0; // where the scroller stood last, in px
    this.list = h("ol", { class: "message-list", role: "log", "aria-live": "polite", "aria-relevant": "additions" });
    this.scroller = h("div", { class: "scroller", tabindex: "-1" }, this.list);
    this.jump = h("button", { type: "button", class: "jump", hidden: true, data: { testid: "jump-to-present" }, on: { click: () => this.toEnd() } });
    this.root = h("div", { class: "messages" }, this.scroller, this.jump);
    const { store } = view;
    store.watching = () => this.atEnd && !document.hidden;
    store.on("messages unread members", () => this.schedule());
    store.on("channel snapshot", () => this.reset());
    store.on("sent", () => {
      store.markRead();
      this.toEnd();
    });
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    new ResizeObserver(() => this.atEnd && this.toEnd()).observe(this.list);
    new ResizeObserver(() => this.atEnd && this.toEnd()).observe(this.scroller);
    document.addEventListener("visibilitychange", () => this.schedule());
  }

  /** Another channel or another member: the list begins anew, at its end. A mere reconnection keeps the reader's place. */
  reset() {
    const shown = `${this.view.store.me?.id}/${this.view.store.channelId}`;
    if (shown === this.shown) {
      this.schedule();
      return;
    }
    this.shown = shown;
    this.rows.clear();
    this.list.replaceChildren();
    this.list.setAttribute("aria-label", `Messages in ${this.view.store.channels.get(this.view.store.channelId)?.name ?? ""}`);
    this.render();
    this.toEnd();
  }

  schedule() {
    if (this.pending) return;
    this.pending = true;
    queueMicrotask(() => {
      this.pending = false;
      this.render();
    });
  }

  /** What the list shows now: [{key, version, draw}], the version being anything that changes with the look. */
  plan() {
    const { store } = this.view;
    const rows = [{ key: "start", version: store.channels.get(store.channelId)?.name, draw: (node) => this.drawStart(node) }];
    const unread = store.unread.get(store.channelId);
    let before = null;
    let day = null;
    for (const message of store.visible(store.channelId)) {
      const name = dayName(message.timestamp);
      const isNew = unread?.first === message.id;
      if (name !== day) {
        rows.push({ key: `day-${name}`, version: isNew, draw: (node) => drawDivider(node, name, isNew) });
        before = null;
      } else if (isNew) {
        rows.push({ key: "new", version: "", draw: (node) => drawDivider(node, null, true) });
        before = null;
      }
      day = name;
      const above = before;
      rows.push({ key: message.id, version: this.version(message, above), draw: (node) => draw(this.view, node, message, above) });
      before = message;
    }
    for (const echo of store.echoes.filter((e) => e.channelId === store.channelId)) {
      rows.push({ key: `echo-${echo.nonce}`, version: [echo.state, echo.text, echo.ephemeral], draw: (node) => drawEcho(this.view, node, echo) });
    }
    return rows;
  }

  /** Values whose identity tells whether a drawn message is still true. */
  version(message, above) {
    const { store } = this.view;
    const thread = store.channels.get(message.id);
    return [message, above?.id, above?.author.id, above?.type, store.busy.get(message.id), store.failed.get(message.id), thread,
      message.message_reference && store.find(message.message_reference.message_id),
      thread && store.messages.get(thread.id)?.at(-1), store.members, store.members.get(message.author.id), store.roles, store.members.get(store.me?.id)];
  }

  render() {
    if (!this.view.store.ready) return;
    const anchor = this.atEnd ? null : this.anchor();
    const plan = this.plan();
    const keys = new Set(plan.map((row) => row.key));
    for (const [key, row] of this.rows) {
      if (keys.has(key)) continue;
      row.node.remove();
      this.rows.delete(key);
    }
    let place = this.list.firstChild;
    for (const { key, version, draw: drawRow } of plan) {
      let row = this.rows.get(key);
      if (!row) {
        row = { node: h("li", null), version: undefined };
        this.rows.set(key, row);
      }
      if (!same(row.version, version)) {
        keepingState(row.node, () => drawRow(row.node));
        row.version = version;
      }
      if (row.node === place) place = place.nextSibling;
      else this.list.insertBefore(row.node, place);
    }
    if (this.atEnd) this.toEnd();
    else if (anchor) this.restore(anchor);
    this.drawJump();
  }

  /** The first message in sight and where it stands, to put it back there after a change above it. */
  anchor() {
    const top = this.scroller.getBoundingClientRect().top;
    for (const node of this.list.children) {
      const box = node.getBoundingClientRect();
      if (box.bottom > top) return { node, offset: box.top - top };
    }
    return null;
  }

  restore({ node, offset }) {
    if (!node.isConnected) return;
    const now = node.getBoundingClientRect().top - this.scroller.getBoundingClientRect().top;
    if (now !== offset) this.scroller.scrollTop += now - offset;
  }

  /** Only who moves up leaves the end: the event comes a frame late, and by then what is below may have grown. */
  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    const left = scrollTop < this.top;
    this.top = scrollTop;
    if (scrollHeight - scrollTop - clientHeight < AT_END) this.atEnd = true;
    else if (left) this.atEnd = false;
    else if (this.atEnd) this.toEnd();
    if (this.atEnd && !document.hidden) this.view.store.seen();
    this.drawJump();
  }

  toEnd() {
    this.atEnd = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.top = this.scroller.scrollTop;
    this.drawJump();
  }

  drawJump() {
    const { store } = this.view;
    this.jump.hidden = this.atEnd;
    if (this.atEnd) return;
    const count = store.unread.get(store.channelId)?.count ?? 0;
    const words = count ? `${count} new message${count === 1 ? "" : "s"}` : "You're viewing older messages";
    this.jump.replaceChildren(h("span", null, words), h("span", { class: "jump-to" }, "Jump To Present", icon("down", 16)));
  }

  drawStart(node) {
    const { store } = this.view;
    const channel = store.channels.get(store.channelId);
    if (!channel) return;
    node.className = "channel-start";
    const thread = isThread(channel);
    node.replaceChildren(
      h("div", { class: "start-icon" }, icon(thread ? "thread" : "hash", 40)),
      h("h2", null, thread ? channel.name : `Welcome to #${channel.name}!`),
      h("p", null, thread ? "This is the start of the thread." : `This is the start of the #${channel.name} channel. `,
        channel.topic ? markdown(channel.topic, this.view, { blocks: false }) : null),
    );
  }
}

function drawDivider(node, day, isNew) {
  node.className = `divider ${isNew ? "new" : ""}`;
  node.setAttribute("role", "separator");
  node.setAttribute("aria-label", [day, isNew ? "new messages" : null].filter(Boolean).join(", "));
  node.replaceChildren(...[day ? h("span", { class: "divider-day" }, day) : null, isNew ? h("span", { class: "divider-new" }, "New") : null].filter(Boolean));
}

function same(a, b) {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((v, i) => Object.is(v, b[i]));
  return Object.is(a, b);
}

/** Redraws a row without losing the keyboard focus or the spoilers its reader has opened. */
function keepingState(node, redraw) {
  const focused = node.contains(document.activeElement) ? document.activeElement.dataset.customId : undefined;
  const open = [...node.querySelectorAll(".spoiler, .spoiler-box")].map((s) => s.classList.contains("revealed"));
  redraw();
  if (open.some(Boolean)) {
    [...node.querySelectorAll(".spoiler, .spoiler-box")].forEach((s, i) => s.classList.toggle("revealed", open[i] === true));
  }
  if (focused) node.querySelector(`[data-custom-id="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}
