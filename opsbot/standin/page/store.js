// Everything the page knows. Frames from the server and the person's own acts change it; views listen by topic.

import { FRAMES } from "./frames.js";

export const FLAG = { EPHEMERAL: 1 << 6, LOADING: 1 << 7, SILENT: 1 << 12, V2: 1 << 15 };
export const isThread = (channel) => channel.type === 10 || channel.type === 11 || channel.type === 12;
const KEPT = 500; // messages a channel keeps here; older ones are dropped

/** Orders ids by age. */
export function older(a, b) {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}

export class Store {
  constructor() {
    this.ready = false;
    this.guild = { id: "0", name: "" };
    this.me = null;
    this.members = new Map();
    this.roles = new Map();
    this.channels = new Map();
    this.commands = [];
    this.application = { id: "0", name: "bot", bot: null };
    this.messages = new Map(); // channel id -> messages, oldest first
    this.private = new Map(); // channel id -> messages only this member sees; lost on reload, as in Discord
    this.echoes = []; // commands on their way: {nonce, channelId, name, state, text, interactionId, at}
    this.busy = new Map(); // message id -> {nonce, customId} of a component waiting for its answer
    this.failed = new Map(); // message id -> text
    this.panel = [];
    this.notes = [];
    this.typing = new Map(); // channel id -> Map(user id -> until, ms)
    this.unread = new Map(); // channel id -> {first, count, mentions}
    this.channelId = null;
    this.socket = "connecting"; // connecting | open | lost
    this.connected = false;
    this.away = false;
    this.listeners = new Map();
    this.watching = () => true; // is the person looking at the end of the open channel?
  }

  on(topics, fn) {
    for (const topic of topics.split(" ")) {
      if (!this.listeners.has(topic)) this.listeners.set(topic, new Set());
      this.listeners.get(topic).add(fn);
    }
    return () => topics.split(" ").forEach((topic) => this.listeners.get(topic).delete(fn));
  }

  emit(topic, detail) {
    for (const fn of this.listeners.get(topic) ?? []) fn(detail);
  }

  // ---- frames -------------------------------------------------------------------------------------------------

  receive({ t, d }) {
    const take = FRAMES[t];
    if (take) take(this, d);
    else console.warn("unknown frame", t);
  }

  firstChannel() {
    const texts = [...this.channels.values()].filter((c) => c.type === 0);
    return (texts[0] ?? [...this.channels.values()].find((c) => c.type !== 4))?.id ?? null;
  }

  // ---- messages -----------------------------------------------------------------------------------------------

  put(lists, message) {
    if (!lists.has(message.channel_id)) lists.set(message.channel_id, []);
    const list = lists.get(message.channel_id);
    const same = list.findIndex((m) => m.id === message.id);
    if (same >= 0) {
      list[same] = { ...list[same], ...message };
      return;
    }
    let i = list.length;
    while (i > 0 && older(message.id, list[i - 1].id) < 0) i -= 1;
    list.splice(i, 0, message);
    if (list.length > KEPT) list.splice(0, list.length - KEPT);
  }

  drop(lists, id, channelId) {
    const list = lists.get(channelId) ?? [];
    const i = list.findIndex((m) => m.id === id);
    if (i >= 0) list.splice(i, 1);
  }

  changed(channelId) {
    if (channelId === this.channelId) this.emit("messages");
  }

  /** All messages of a channel this member sees, oldest first. */
  visible(channelId) {
    const hidden = this.private.get(channelId) ?? [];
    const all = this.messages.get(channelId) ?? [];
    return hidden.length ? [...all, ...hidden].sort((a, b) => older(a.id, b.id)) : all;
  }

  find(messageId) {
    for (const lists of [this.messages, this.private]) {
      for (const list of lists.values()) {
        const found = list.find((m) => m.id === messageId);
        if (found) return found;
      }
    }
    return null;
  }

  dismiss(messageId) {
    for (const [channelId] of this.private) this.drop(this.private, messageId, channelId);
    this.removeEcho(messageId.replace(/^echo-/, ""));
    this.emit("messages");
  }

  pings(message) {
    if (!this.me || message.author.id === this.me.id) return false;
    const roles = this.members.get(this.me.id)?.roles ?? [];
    return Boolean(
      message.mention_everyone ||
        message.mentions?.some((u) => u.id === this.me.id) ||
        message.mention_roles?.some((id) => roles.includes(id)),
    );
  }

  countUnread(message) {
    const id = message.channel_id;
    if (id === this.channelId && this.watching()) return;
    const known = this.unread.get(id);
    const unread = known?.count ? known : { first: message.id, count: 0, mentions: 0 };
    unread.count += 1;
    if (this.pings(message)) unread.mentions += 1;
    this.unread.set(id, unread);
    this.emit("unread");
  }

  /** Opens a channel or thread. What was unread in it keeps its divider until it is left or marked as read. */
  open(channelId) {
    if (channelId === this.channelId || !this.channels.has(channelId)) return;
    this.unread.delete(this.channelId);
    this.channelId = channelId;
    this.emit("channel");
    this.emit("channels");
  }

  /** The end has been reached: the divider stays, the count starts anew. */
  seen() {
    const unread = this.unread.get(this.channelId);
    if (unread?.count) Object.assign(unread, { count: 0, mentions: 0 });
  }

  markRead() {
    if (this.unread.delete(this.channelId)) {
      this.emit("unread");
      this.emit("messages");
    }
  }

  // ---- interactions -------------------------------------------------------------------------------------------

  addEcho(echo) {
    this.echoes.push(echo);
    this.changed(echo.channelId);
  }

  removeEcho(nonce) {
    const before = this.echoes.length;
    this.echoes = this.echoes.filter((e) => e.nonce !== nonce);
    if (this.echoes.length !== before) this.emit("messages");
  }

  /** A message has come that answers a command on its way: it takes the place of the local line. */
  settleEcho(message) {
    const source = message.interaction_metadata?.id ?? message.interaction?.id;
    if (!source) return;
    // the message may come before the frame that tells which interaction the command became
    const user = message.interaction_metadata?.user ?? message.interaction?.user;
    const name = message.interaction?.name ?? message.interaction_metadata?.name;
    const known = this.echoes.some((e) => e.interactionId === source);
    const mine = (e) => e.state === "sending" && !e.interactionId && user?.id === this.me?.id && e.name.split(" ")[0] === name?.split(" ")[0];
    const first = known ? null : this.echoes.find(mine);
    this.echoes = this.echoes.filter((e) => e.interactionId !== source && e !== first);
  }

  forgetAnsweredEcho(nonce) {
    const echo = this.echoes.find((e) => e.nonce === nonce);
    if (!echo) return;
    const answer = this.visible(echo.channelId).some(
      (m) => (m.interaction_metadata?.id ?? m.interaction?.id) === echo.interactionId,
    );
    if (answer) this.removeEcho(nonce);
    else this.changed(echo.channelId);
  }

  wait(messageId, nonce, customId) {
    this.failed.delete(messageId);
    this.busy.set(messageId, { nonce, customId });
    this.emit("messages");
  }

  answered(nonce, result) {
    for (const [messageId, wait] of this.busy) if (wait.nonce === nonce) this.busy.delete(messageId);
    this.emit("answered", { nonce, ...result });
    this.emit("messages");
  }

  note(note) {
    const last = this.notes.at(-1);
    if (last && last.text === note.text && Date.now() - last.seen < 5000) return;
    this.notes.push({ ...note, seen: Date.now() });
    this.notes = this.notes.slice(-30);
    this.emit("notes");
  }

  // ---- names --------------------------------------------------------------------------------------------------

  userName(id) {
    const member = this.members.get(id);
    if (!member) return null;
    return member.nick ?? member.user.global_name ?? member.user.username;
  }

  nameOf(user) {
    return this.userName(user.id) ?? user.global_name ?? user.username;
  }

  memberRoles(id) {
    const ids = this.members.get(id)?.roles ?? [];
    return ids.map((r) => this.roles.get(r)).filter(Boolean).sort((a, b) => b.position - a.position);
  }

  /** The colour of a member's highest coloured role, as CSS; null for none. */
  colour(id) {
    const role = this.memberRoles(id).find((r) => r.color);
    return role ? `#${role.color.toString(16).padStart(6, "0")}` : null;
  }
}
