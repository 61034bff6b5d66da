// The WebSocket: connects, notices silence, reconnects with growing pauses, and says what is wrong.

const SILENCE_MS = 5000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;

export class Connection {
  /**
   * @param {(message: object) => void} onMessage a snapshot or an update
   * @param {(state: "waiting"|"live"|"lost", text: string, retryAt: number) => void} onState
   */
  constructor(onMessage, onState) {
    this.onMessage = onMessage;
    this.onState = onState;
    this.pause = FIRST_PAUSE_MS;
    this.socket = null;
    this.watch = null;
    this.timer = null;
    window.addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.retryNow();
    });
  }

  open() {
    this.timer = null;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws`);
    this.socket = socket;
    this.listen(socket);
    socket.addEventListener("message", (event) => {
      if (socket !== this.socket) return;
      this.pause = FIRST_PAUSE_MS;
      this.listen(socket);
      this.onState("live", "Live", 0);
      this.onMessage(JSON.parse(event.data));
    });
    socket.addEventListener("close", (event) => this.lost(socket, event.reason || explain(event.code)));
  }

  listen(socket) {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => {
      this.lost(socket, "Nothing was heard for 5 seconds");
      socket.close();
    }, SILENCE_MS);
  }

  lost(socket, reason) {
    if (socket !== this.socket) return;
    this.socket = null;
    clearTimeout(this.watch);
    this.onState("lost", reason, Date.now() + this.pause);
    this.timer = setTimeout(() => this.open(), this.pause * (0.8 + 0.4 * Math.random()));
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
  }

  retryNow() {
    if (this.socket || this.timer === null) return;
    clearTimeout(this.timer);
    this.pause = FIRST_PAUSE_MS;
    this.open();
  }
}

function explain(code) {
  if (!navigator.onLine) return "This device is offline";
  if (code === 1006) return "The daemon does not answer";
  if (code === 1001 || code === 1012) return "The daemon is stopping";
  return `The connection was closed (${code})`;
}
