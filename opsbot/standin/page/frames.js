// What each frame of the server changes in the store.

/** Frame name -> (store, the frame's data). */
export const FRAMES = {
  SNAPSHOT(store, d) {
    const sameMember = store.me?.id === d.me.id;
    store.guild = d.guild;
    store.me = d.me;
    store.members = new Map(d.members.map((m) => [m.user.id, m]));
    store.roles = new Map(d.roles.map((r) => [r.id, r]));
    store.channels = new Map(d.channels.map((c) => [c.id, c]));
    store.commands = d.commands;
    store.application = d.application;
    store.messages = new Map(Object.entries(d.messages).map(([id, list]) => [id, [...list]]));
    store.panel = d.panel ?? [];
    store.connected = d.connected;
    store.away = d.away ?? false;
    store.busy.clear();
    if (!sameMember) {
      store.private.clear();
      store.failed.clear();
      store.echoes = [];
      store.unread.clear();
    }
    store.ready = true;
    if (!store.channels.has(store.channelId)) store.channelId = store.firstChannel();
    store.emit("snapshot");
    for (const topic of ["channels", "members", "commands", "panel", "connection", "typing", "channel"]) store.emit(topic);
  },

  MESSAGE_CREATE(store, message) {
    store.typing.get(message.channel_id)?.delete(message.author.id);
    store.emit("typing");
    store.put(store.messages, message);
    store.settleEcho(message);
    if (message.author.id !== store.me?.id) store.countUnread(message);
    store.changed(message.channel_id);
  },

  MESSAGE_UPDATE(store, message) {
    const list = store.messages.get(message.channel_id) ?? [];
    const i = list.findIndex((m) => m.id === message.id);
    if (i >= 0) list[i] = { ...list[i], ...message };
    store.settleEcho(message);
    store.changed(message.channel_id);
  },

  MESSAGE_DELETE(store, { id, channel_id: channelId }) {
    store.drop(store.messages, id, channelId);
    store.changed(channelId);
  },

  EPHEMERAL(store, message) {
    store.put(store.private, message);
    store.settleEcho(message);
    store.changed(message.channel_id);
  },

  EPHEMERAL_UPDATE(store, message) {
    const list = store.private.get(message.channel_id) ?? [];
    const i = list.findIndex((m) => m.id === message.id);
    if (i < 0) return; // dismissed by the person: it stays away
    list[i] = { ...list[i], ...message };
    store.settleEcho(message);
    store.changed(message.channel_id);
  },

  EPHEMERAL_DELETE(store, { id, channel_id: channelId }) {
    store.drop(store.private, id, channelId);
    store.changed(channelId);
  },

  CHANNEL_CREATE(store, channel) {
    store.channels.set(channel.id, { ...store.channels.get(channel.id), ...channel });
    store.emit("channels");
    if (channel.parent_id) store.changed(channel.parent_id);
  },

  CHANNEL_UPDATE(store, channel) {
    FRAMES.CHANNEL_CREATE(store, channel);
  },

  THREAD_CREATE(store, channel) {
    FRAMES.CHANNEL_CREATE(store, channel);
  },

  THREAD_UPDATE(store, channel) {
    FRAMES.CHANNEL_CREATE(store, channel);
  },

  CHANNEL_DELETE(store, { id }) {
    const parent = store.channels.get(id)?.parent_id;
    store.channels.delete(id);
    store.messages.delete(id);
    if (store.channelId === id) store.open(store.channels.has(parent) ? parent : store.firstChannel());
    store.emit("channels");
    if (parent) store.changed(parent);
  },

  THREAD_DELETE(store, d) {
    FRAMES.CHANNEL_DELETE(store, d);
  },

  TYPING_START(store, { channel_id: channelId, user_id: userId }) {
    if (userId === store.me?.id) return;
    if (!store.typing.has(channelId)) store.typing.set(channelId, new Map());
    store.typing.get(channelId).set(userId, Date.now() + 10_000);
    store.emit("typing");
    setTimeout(() => store.emit("typing"), 10_050);
  },

  COMMANDS_UPDATE(store, commands) {
    store.commands = commands;
    store.emit("commands");
  },

  MEMBER_UPDATE(store, member) {
    store.members.set(member.user.id, { ...store.members.get(member.user.id), ...member });
    store.emit("members");
    store.changed(store.channelId);
  },

  PRESENCE(store, { user_id: userId, status }) {
    const member = store.members.get(userId);
    if (member) store.members.set(userId, { ...member, status });
    store.emit("members");
  },

  CONNECTION(store, { connected, away }) {
    store.connected = connected;
    store.away = Boolean(away);
    store.emit("connection");
  },

  INTERACTION_DEFERRED(store, { nonce, id, ephemeral }) {
    const echo = store.echoes.find((e) => e.nonce === nonce);
    if (echo) Object.assign(echo, { interactionId: id, state: "thinking", ephemeral });
    store.answered(nonce, { ok: true });
    store.forgetAnsweredEcho(nonce);
  },

  INTERACTION_SUCCESS(store, { nonce, id }) {
    const echo = store.echoes.find((e) => e.nonce === nonce);
    if (echo) {
      echo.interactionId = id;
      // the answer's message may come just after its success; an answer without a message must not wait for ever
      if (echo.state === "sending") setTimeout(() => store.removeEcho(nonce), 1500);
    }
    store.answered(nonce, { ok: true });
    store.forgetAnsweredEcho(nonce);
  },

  INTERACTION_FAILURE(store, { nonce, id, reason }) {
    const echo = store.echoes.find((e) => e.nonce === nonce);
    if (echo) Object.assign(echo, { interactionId: id, state: "failed", text: failureText(reason) });
    for (const [messageId, wait] of store.busy) {
      if (wait.nonce === nonce) store.failed.set(messageId, "This interaction failed");
    }
    store.answered(nonce, { ok: false, reason });
    store.emit("autocomplete", { nonce, choices: null });
  },

  MODAL(store, d) {
    store.removeEcho(d.nonce);
    store.answered(d.nonce, { ok: true });
    store.emit("modal", d);
  },

  AUTOCOMPLETE(store, d) {
    store.emit("autocomplete", d);
  },

  PANEL(store, panel) {
    store.panel = panel;
    store.emit("panel");
  },

  PANEL_NOTE(store, note) {
    store.note(note);
  },
};

function failureText(reason) {
  return !reason || reason === "timeout" ? "The application did not respond" : reason;
}
