// The way to the server: one WebSocket that comes back by itself, and a few POSTs.

const FIRST_DELAY = 300;
const LONGEST_DELAY = 5000;

export class Connection {
  constructor(store, memberId) {
    this.store = store;
    this.memberId = memberId;
    this.socket = null;
    this.delay = FIRST_DELAY;
    this.timer = null;
  }

  open() {
    clearTimeout(this.timer);
    const url = new URL("/client/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    if (this.memberId) url.searchParams.set("member", this.memberId);
    const socket = new WebSocket(url);
    this.socket = socket;
    socket.addEventListener("message", (event) => {
      if (socket !== this.socket) return; // a frame for the member acted as before
      const frame = JSON.parse(event.data);
      if (frame.t === "SNAPSHOT") {
        this.delay = FIRST_DELAY;
        this.memberId = frame.d.me.id;
        this.state("open");
      }
      this.store.receive(frame);
    });
    socket.addEventListener("close", () => {
      if (socket !== this.socket) return;
      this.state("lost");
      this.timer = setTimeout(() => this.open(), this.delay);
      this.delay = Math.min(this.delay * 2, LONGEST_DELAY);
    });
  }

  state(value) {
    this.store.socket = value;
    this.store.emit("connection");
  }

  /** Goes on as another member; the server answers with a new snapshot. */
  actAs(memberId) {
    this.memberId = memberId;
    const address = new URL(location.href);
    address.searchParams.set("member", memberId); // a reload goes on as the same member
    history.replaceState(null, "", address);
    const before = this.socket;
    this.open();
    before?.close();
  }

  /** POSTs JSON. Returns {ok, status, body}; never raises: a server that is away is `ok: false`. */
  async post(path, body) {
    try {
      const response = await fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
      const text = await response.text();
      let answer = {};
      try {
        answer = text ? JSON.parse(text) : {};
      } catch {
        answer = { message: text.slice(0, 200) };
      }
      return { ok: response.ok, status: response.status, body: answer };
    } catch {
      return { ok: false, status: 0, body: { message: "The stand-in does not answer" } };
    }
  }
}
