// What the person sets off: messages, commands, clicks, modals. One place that makes nonces and watches deadlines.

const PATIENCE = 8000; // the server reports a missed deadline after 3 s; this is for a server that says nothing

let counter = 0;
function newNonce() {
  counter += 1;
  return `${Date.now()}${String(counter).padStart(4, "0")}`;
}

export class Interactions {
  constructor(store, connection) {
    this.store = store;
    this.connection = connection;
  }

  body(type, data, nonce, extra = {}) {
    return {
      member_id: this.store.me.id,
      channel_id: this.store.channelId,
      nonce,
      type,
      data,
      ...extra,
    };
  }

  async send(body) {
    const { store } = this;
    const answer = await this.connection.post("/client/interactions", body);
    if (!answer.ok) {
      store.receive({ t: "INTERACTION_FAILURE", d: { nonce: body.nonce, id: null, reason: answer.body.message ?? "" } });
      return;
    }
    setTimeout(() => {
      const echo = store.echoes.find((e) => e.nonce === body.nonce);
      const waiting = [...store.busy.values()].some((w) => w.nonce === body.nonce);
      if (echo?.state === "sending" || waiting) {
        store.receive({ t: "INTERACTION_FAILURE", d: { nonce: body.nonce, id: null, reason: "" } });
      }
    }, PATIENCE);
  }

  /** Runs a slash command; `name` is its full name with subcommands. */
  command(data, name) {
    const nonce = newNonce();
    this.store.addEcho({
      nonce,
      channelId: this.store.channelId,
      name,
      state: "sending",
      at: new Date().toISOString(),
    });
    this.store.emit("sent");
    void this.send(this.body(2, data, nonce));
  }

  /** Asks for choices. Returns the nonce that the AUTOCOMPLETE frame will carry. */
  autocomplete(data) {
    const nonce = newNonce();
    void this.connection.post("/client/interactions", this.body(4, data, nonce)).then((answer) => {
      if (!answer.ok) this.store.emit("autocomplete", { nonce, choices: null });
    });
    return nonce;
  }

  /** A click on a component of a message, or a choice in one of its menus. */
  component(message, component, values) {
    const data = { custom_id: component.custom_id, component_type: component.type };
    if (values !== undefined) data.values = values;
    const nonce = newNonce();
    this.store.wait(message.id, nonce, component.custom_id);
    void this.send(this.body(3, data, nonce, { message_id: message.id, channel_id: message.channel_id }));
  }

  /** Submits a modal; resolves to {ok, reason} when it was answered. */
  modal(data) {
    const nonce = newNonce();
    return new Promise((resolve) => {
      const timer = setTimeout(() => finish({ ok: false, reason: "" }), PATIENCE);
      const off = this.store.on("answered", (result) => {
        if (result.nonce === nonce) finish(result);
      });
      function finish(result) {
        clearTimeout(timer);
        off();
        resolve(result);
      }
      void this.send(this.body(5, data, nonce));
    });
  }

  async message(content) {
    this.store.emit("sent");
    const answer = await this.connection.post("/client/messages", {
      member_id: this.store.me.id,
      channel_id: this.store.channelId,
      content,
    });
    return answer.ok ? null : (answer.body.message ?? "The message could not be sent");
  }
}
