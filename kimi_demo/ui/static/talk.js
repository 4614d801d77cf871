// Hands-free conversation: the microphone goes to the server's realtime API (OpenAI's, a WebSocket),
// the answers to the tab's live player. Each turn that is over is handed to the page's server, which
// puts it into the conversation. What happened stands in `window.kimiTalks[name].stats`.

const CONNECT_MS = 20000;
const CONFIRM_MS = 400; // within which the server says that it was a voice
const SETTLE_MS = 3000; // for late news of a turn that is over
const TELL_MS = 5000; // for the page's server to take the turns
const STUCK_BYTES = 2 ** 20; // sent by the page and not taken by the line: 8 s of sound
const LIVE_STATES = ["asking", "connecting", "listening", "hearing", "thinking", "speaking"];
const DENIALS = { NotAllowedError: "talk_denied", SecurityError: "talk_denied", NotFoundError: "talk_no_microphone" };
const CLOSINGS = { 1008: "talk_refused", 1013: "talk_full" };
const LATE_NEWS = new Set([
  "conversation.item.retrieved",
  "conversation.item.input_audio_transcription.delta",
  "conversation.item.input_audio_transcription.completed",
]);
const card = new TalkCard(element.querySelector(".talk"), props.name);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

class LiveTalk {
  constructor() {
    this.attempt = 0;
    this.outbox = []; // turns that the page's server has not taken yet
    this.settling = 0;
    this.posted = 0; // how many were handed over
    this.reset();
    this.show("off");
  }

  get isLive() { return LIVE_STATES.includes(this.stats.state); }
  get player() { return window.kimiPlayers[props.name]; }

  reset() {
    this.stats = { state: "off", ending: null, turns: [], duckMs: [], errors: [] };
    this.recording = new Recording();
    this.turn = null;
    this.turns = [];
    this.socket = null;
    this.microphone = null;
    this.isSending = false;
  }

  toggle() {
    if (this.isEnding) return;
    if (this.isLive) this.hangUp("talk_ended");
    else this.start();
  }

  // Asks for the microphone, then the page's server for a key and what was said before.
  async start() {
    this.reset();
    const attempt = (this.attempt += 1);
    card.rest(true);
    card.say("");
    this.show("asking");
    try {
      const microphone = await openMicrophone({
        onframe: (frame) => this.onFrame(frame),
        ononset: (sinceMs) => this.onOnset(sinceMs),
        onlost: () => this.release("talk_unplugged"),
      });
      if (attempt !== this.attempt || !this.isLive) return microphone.close();
      this.microphone = microphone;
    } catch (error) {
      return attempt === this.attempt && this.isLive && this.release(DENIALS[error.name] || "talk_no_microphone");
    }
    this.show("connecting");
    this.player.onstate = (state) => this.onPlayer(state);
    this.patience = setTimeout(() => this.release("talk_lost"), CONNECT_MS);
    await this.told();
    if (attempt === this.attempt) trigger("open_talk", { attempt });
  }

  // News of the page's server.
  receive(message) {
    if (message.attempt === this.attempt && this.stats.state === "connecting") this.connect(message);
    if (message.taken === this.posted) this.onTaken();
  }

  connect({ key, model, session, items }) {
    const socket = new WebSocket(this.address(window.gradio_config.root, model), ["realtime", "openai-insecure-api-key." + key]);
    const isMine = () => this.socket === socket;
    socket.onmessage = ({ data }) => isMine() && this.take(JSON.parse(data));
    socket.onclose = ({ code, reason }) => isMine() && this.release(CLOSINGS[code] || "talk_lost", reason);
    this.socket = socket;
    this.opening = [
      { type: "session.update", session },
      ...items.map((item) => ({ type: "conversation.item.create", item })),
    ];
  }

  // Of the API beside the page, wherever a proxy shows both. root: of the page, as its server knows
  // it; the visitor's browser knows better which host that is.
  address(root, model) {
    const path = new URL(root, location.href).pathname.replace(/\/$/, "");
    const address = new URL(path + "/v1/realtime", location.origin.replace("http", "ws"));
    address.searchParams.set("model", model);
    return address;
  }

  send(event) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(event));
  }

  take(event) {
    if (this.isLive || LATE_NEWS.has(event.type)) HANDLERS[event.type]?.(this, event);
  }

  // The microphone.

  onFrame(frame) {
    if (!this.isSending) return;
    this.recording.push(frame);
    if (this.stats.state !== "hearing") this.recording.forgetBefore(this.recording.endMs - KEPT_MS);
    this.send({ type: "input_audio_buffer.append", audio: encodePcm16(frame.samples) });
    if (this.socket.bufferedAmount > STUCK_BYTES) return this.release("talk_lost");
    card.showLevel(frame);
  }

  // Quieter at once, long before the server can know; louder again if it was no voice.
  onOnset(sinceMs) {
    if (this.stats.state !== "speaking" || this.duckTimer) return;
    this.player.duck(true);
    this.stats.duckMs.push(Math.round(sinceMs));
    this.duckTimer = setTimeout(() => {
      this.microphone?.learn(false);
      this.raise();
    }, CONFIRM_MS);
  }

  raise() {
    clearTimeout(this.duckTimer);
    this.duckTimer = null;
    this.player.duck(false);
  }

  // Turns.

  onSpeech({ item_id: id, audio_start_ms: startMs }) {
    const before = this.turn;
    const isHeard = before?.isOver || (before?.answerId && this.player.stats.played > 0);
    this.microphone?.learn(true);
    this.cut(before, isHeard);
    this.turn = new Exchange(isHeard ? [] : before?.spans); // unanswered, all of it is one question
    this.turn.spans.push({ id, startMs, sound: new Float32Array(0), text: "", isWritten: false });
    this.turns = [...this.turns.filter((one) => isHeard || one !== before), this.turn];
    this.show("hearing");
    this.write();
  }

  onSpeechEnd({ item_id: id, audio_end_ms: endMs }) {
    const span = this.turn?.span(id);
    if (!span) return;
    span.sound = this.recording.between(span.startMs, endMs);
    this.turn.lastWordAt = this.recording.lastWordAt(endMs);
    this.show("thinking");
  }

  onWritten({ item_id: id, delta, transcript }) {
    const turn = this.turns.findLast((one) => one.span(id));
    if (!turn) return;
    const span = turn.span(id);
    span.text = transcript ?? span.text + (delta ?? "");
    span.isWritten = delta === undefined;
    turn.checkWritten();
    this.write();
  }

  onAnswer() {
    this.turn ||= new Exchange();
    this.player.begin(this.turn.lastWordAt);
  }

  onAnswerItem({ item: { id } }) {
    if (!this.turn || this.turn.isOver) return;
    this.turn.answerId = id;
    this.answered = 0;
  }

  onText({ item_id: id, delta }) {
    if (this.turn?.answerId !== id || this.turn.isOver) return;
    this.turn.answer += delta;
    this.write();
  }

  onSound({ item_id: id, delta }) {
    if (this.turn?.answerId !== id || this.turn.isOver) return;
    this.feed([{ seq: this.answered, pcm: delta }], false);
    this.answered += 1;
  }

  feed(chunks, end) {
    this.player.receive({ run: this.turn.answerId, chunks, caption: "", end });
  }

  onAnswerEnd({ response }) {
    const { turn } = this;
    if (response.status === "failed") this.onFailure(response.status_details?.error?.message);
    if (!turn || turn.isOver) return;
    if (response.status === "cancelled") return this.cut(turn);
    if (!turn.answerId) return this.show("listening");
    turn.reason = response.status === "incomplete" ? "length" : response.status === "completed" ? "stop" : null;
    turn.usage = response.usage;
    this.feed([], true);
  }

  onPlayer(state) {
    const { turn } = this;
    const { firstSoundMs, runId } = this.player.stats;
    if (!turn || turn.isOver || !turn.answerId || runId !== turn.answerId) return;
    if (firstSoundMs !== null && turn.latencyMs === null) {
      turn.latencyMs = firstSoundMs;
      card.showLatency(firstSoundMs);
      this.show("speaking");
    }
    if (state === "ended") this.finish(turn);
  }

  // An answer that was heard to its end.
  finish(turn) {
    turn.isOver = true;
    this.raise();
    if (this.isLive) this.show("listening");
    this.keepSound(turn, this.player, this.player.stats.played);
    this.settle(turn);
  }

  // Silence in the middle of an answer; what was not heard is forgotten, here and at the server.
  async cut(turn, isKept = true) {
    if (!turn || turn.isOver || !turn.answerId) return;
    turn.isOver = true;
    turn.reason = null;
    const { pieces, stats } = this.player; // of this answer; soon the next may begin
    const played = await this.player.stop();
    this.raise();
    this.keepSound(turn, { pieces, stats }, played);
    const item_id = turn.answerId;
    if (turn.receivedMs > 0) {
      this.send({ type: "conversation.item.truncate", item_id, content_index: 0, audio_end_ms: turn.playedMs });
      this.send({ type: "conversation.item.retrieve", item_id });
    }
    if (!this.socket) turn.giveUp();
    if (isKept && turn.playedMs > 0) await this.settle(turn, [turn.retrieved]);
  }

  keepSound(turn, { pieces, stats }, played) {
    turn.playedMs = Math.floor(played / SAMPLES_PER_MS);
    turn.receivedMs = Math.floor(stats.received / SAMPLES_PER_MS);
    turn.sound = encodePcm16(joined(pieces).slice(0, played));
  }

  // What the server remembers of an answer that was cut off.
  onRetrieved({ item }) {
    const turn = this.turns.find((one) => one.answerId === item.id);
    if (!turn) return;
    turn.answer = item.content.map((content) => content.transcript ?? content.text ?? "").join("");
    turn.onRetrieved();
    this.write();
  }

  // Hands a turn over once its words are known.
  async settle(turn, awaited = []) {
    this.settling += 1;
    await Promise.race([Promise.all([turn.written, ...awaited]), pause(SETTLE_MS)]);
    this.settling -= 1;
    const { answer, latencyMs, playedMs, receivedMs, reason, usage, sound } = turn;
    this.stats.turns.push({ heard: turn.heard(), answer, latencyMs, playedMs, receivedMs, reason });
    this.turns = this.turns.filter((one) => one !== turn);
    const asked = encodePcm16(joined(turn.spans.map((span) => span.sound)));
    this.post({ asked, heard: turn.heard(), answer, sound, reason, usage });
  }

  // One after the other: each changes the conversation as it finds it.
  post(turn) {
    this.outbox.push(turn);
    if (this.outbox.length === 1) this.postFirst();
  }

  postFirst() {
    this.posted += 1;
    trigger("tell_turn", { number: this.posted, turn: this.outbox[0] });
  }

  onTaken() {
    this.outbox.shift();
    this.write();
    if (this.outbox.length) this.postFirst();
  }

  // Once every turn stands in the conversation, or it is too late for that.
  async told() {
    const end = performance.now() + TELL_MS;
    while ((this.outbox.length || this.settling) && performance.now() < end) await pause(50);
    this.outbox = [];
  }

  onFailure(message) {
    this.stats.errors.push(message);
    card.say(WORDS.talk_failed.replace("{message}", message || "?"));
    if (this.stats.state === "thinking") this.show("listening");
  }

  // Endings.

  // The microphone first; the connection once the server has told what it remembers.
  async hangUp(ending) {
    this.isEnding = true;
    this.closeMicrophone();
    this.show("off", ending);
    await this.cut(this.turn);
    this.isEnding = false;
    this.release(ending);
  }

  async release(ending, reason = "") {
    const { socket } = this;
    this.attempt += 1;
    clearTimeout(this.patience);
    this.closeMicrophone();
    this.socket = null;
    socket?.close(1000);
    this.turns.forEach((turn) => turn.giveUp());
    this.cut(this.turn);
    this.raise();
    this.show("off", ending);
    card.say(reason);
    const attempt = this.attempt;
    await this.told();
    if (attempt === this.attempt) card.rest(false);
  }

  // Ends without a trace.
  drop() {
    this.turn = null;
    this.turns = this.outbox = [];
    if (this.isLive) this.release("talk_ended");
  }

  closeMicrophone() {
    this.isSending = false;
    this.microphone?.close();
    this.microphone = null;
  }

  show(state, ending = null) {
    Object.assign(this.stats, { state, ending });
    card.show(state, ending, this.isLive);
    this.write();
  }

  // The turn that is not in the chat yet.
  write() {
    const turn = this.turn && !this.turn.isOver ? this.turn : this.turns.at(-1);
    card.write(turn?.heard() || "", turn?.answer || "");
  }
}

const HANDLERS = {
  "session.created": (talk) => talk.opening.forEach((event) => talk.send(event)),
  "session.updated": (talk) => {
    clearTimeout(talk.patience);
    talk.isSending = true;
    talk.show("listening");
  },
  "input_audio_buffer.speech_started": (talk, event) => talk.onSpeech(event),
  "input_audio_buffer.speech_stopped": (talk, event) => talk.onSpeechEnd(event),
  "conversation.item.input_audio_transcription.delta": (talk, event) => talk.onWritten(event),
  "conversation.item.input_audio_transcription.completed": (talk, event) => talk.onWritten(event),
  "conversation.item.input_audio_transcription.failed": (talk, event) => talk.onWritten(event),
  "conversation.item.retrieved": (talk, event) => talk.onRetrieved(event),
  "response.created": (talk) => talk.onAnswer(),
  "response.output_item.added": (talk, event) => talk.onAnswerItem(event),
  "response.output_audio.delta": (talk, event) => talk.onSound(event),
  "response.output_audio_transcript.delta": (talk, event) => talk.onText(event),
  "response.output_text.delta": (talk, event) => talk.onText(event),
  "response.done": (talk, event) => talk.onAnswerEnd(event),
  error: (talk, event) => talk.onFailure(event.error.message),
};

const missing = props.offered ? missingForMicrophone() : "talk_not_offered";
if (missing) card.showMissing(missing);
else {
  const talk = new LiveTalk();
  window.kimiTalks = { ...window.kimiTalks, [props.name]: talk };
  watch("value", () => props.value && talk.receive(JSON.parse(props.value)));
  card.toggle.addEventListener("click", () => talk.toggle());
  window.addEventListener("pagehide", () => talk.isLive && talk.release("talk_ended"));
}
